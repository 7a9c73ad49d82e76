-- Duplicates: scored pairs, groups of them, what people decided, and what can be undone.

-- Pairs of photos that are or may be the same picture, as the last scan scored them.
CREATE TABLE duplicate_pairs (
    tenant_id  text NOT NULL,
    first_id   bytea NOT NULL,
    second_id  bytea NOT NULL CHECK (first_id < second_id),
    kind       text NOT NULL CHECK (kind IN ('exact', 'copy', 'edit', 'burst')),
    confidence real NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    evidence   text[] NOT NULL,
    PRIMARY KEY (tenant_id, first_id, second_id),
    FOREIGN KEY (tenant_id, first_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, second_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX duplicate_pairs_confidence ON duplicate_pairs (tenant_id, confidence);
CREATE INDEX duplicate_pairs_second ON duplicate_pairs (tenant_id, second_id);

CREATE TABLE duplicate_groups (
    tenant_id  text NOT NULL,
    group_id   bigint GENERATED ALWAYS AS IDENTITY,
    signature  bytea NOT NULL,     -- hash of the members' ids: the same group is found once
    kind       text NOT NULL CHECK (kind IN ('exact', 'copy', 'edit', 'burst')),
    confidence real NOT NULL,
    keeper_id  bytea NOT NULL,
    reason     text NOT NULL,
    bytes      bigint NOT NULL,    -- of all members but the keeper
    members    integer NOT NULL,
    status     text NOT NULL DEFAULT 'open'
        CHECK (status IN ('open', 'merged', 'ignored', 'stacked')),
    found_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, group_id),
    UNIQUE (tenant_id, signature),
    FOREIGN KEY (tenant_id, keeper_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX duplicate_groups_page
    ON duplicate_groups (tenant_id, status, confidence DESC, group_id DESC);
CREATE INDEX duplicate_groups_keeper ON duplicate_groups (tenant_id, keeper_id);

CREATE TABLE duplicate_members (
    tenant_id  text NOT NULL,
    group_id   bigint NOT NULL,
    photo_id   bytea NOT NULL,
    kind       text NOT NULL,      -- of its pair with the keeper
    confidence real NOT NULL,
    evidence   text[] NOT NULL,
    PRIMARY KEY (tenant_id, group_id, photo_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES duplicate_groups ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX duplicate_members_photo ON duplicate_members (tenant_id, photo_id);

CREATE TABLE duplicate_resolutions (
    tenant_id  text NOT NULL,
    undo_token text NOT NULL,
    group_id   bigint NOT NULL,
    action     text NOT NULL CHECK (action IN ('merge', 'ignore', 'stack')),
    keeper_id  bytea,
    before     jsonb NOT NULL DEFAULT '{}',    -- of the keeper: what the merge changed
    actor      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    undone_at  timestamptz,
    PRIMARY KEY (tenant_id, undo_token),
    FOREIGN KEY (tenant_id, group_id) REFERENCES duplicate_groups ON DELETE CASCADE
);
CREATE INDEX duplicate_resolutions_group ON duplicate_resolutions (tenant_id, group_id);

-- What people said about two photos, for ever. keep, stack: both stay, until somebody new joins
-- them; distinct: never in one group again.
CREATE TABLE duplicate_decisions (
    tenant_id  text NOT NULL,
    first_id   bytea NOT NULL,
    second_id  bytea NOT NULL CHECK (first_id < second_id),
    decision   text NOT NULL CHECK (decision IN ('keep', 'stack', 'distinct')),
    undo_token text,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, first_id, second_id),
    FOREIGN KEY (tenant_id, first_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, second_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX duplicate_decisions_token ON duplicate_decisions (tenant_id, undo_token);
CREATE INDEX duplicate_decisions_second ON duplicate_decisions (tenant_id, second_id);

-- Photos that a merge put into the trash, and the live copy that each left behind.
CREATE TABLE duplicate_trashed (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    keeper_id  bytea NOT NULL CHECK (keeper_id <> photo_id),
    undo_token text NOT NULL,
    PRIMARY KEY (tenant_id, photo_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, keeper_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, undo_token) REFERENCES duplicate_resolutions ON DELETE CASCADE
);
CREATE INDEX duplicate_trashed_keeper ON duplicate_trashed (tenant_id, keeper_id);
CREATE INDEX duplicate_trashed_token ON duplicate_trashed (tenant_id, undo_token);

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'duplicate_pairs', 'duplicate_groups', 'duplicate_members', 'duplicate_resolutions',
    'duplicate_decisions', 'duplicate_trashed']) AS name;

-- The last live copy of a photo stays out of the trash, whoever asks and however many at once.
-- Rows are locked in the order of their ids; what was decided meanwhile is seen after the wait.
CREATE FUNCTION photoorg_leave_a_copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM photos WHERE tenant_id = NEW.tenant_id
        AND photo_id IN (NEW.photo_id, NEW.keeper_id) ORDER BY photo_id FOR UPDATE;
    IF EXISTS (SELECT FROM photos WHERE tenant_id = NEW.tenant_id
               AND photo_id = NEW.keeper_id AND trashed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'photo % is in the trash and cannot be the copy that stays',
            encode(NEW.keeper_id, 'hex') USING ERRCODE = 'PO001';
    END IF;
    IF EXISTS (SELECT FROM duplicate_trashed d JOIN photos p USING (tenant_id, photo_id)
               WHERE d.tenant_id = NEW.tenant_id AND d.keeper_id = NEW.photo_id
                   AND p.trashed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'photo % is the last live copy of photos in the trash',
            encode(NEW.photo_id, 'hex') USING ERRCODE = 'PO001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER leave_a_copy BEFORE INSERT OR UPDATE ON duplicate_trashed
    FOR EACH ROW EXECUTE FUNCTION photoorg_leave_a_copy();

CREATE FUNCTION photoorg_keep_the_last_copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM duplicate_trashed d JOIN photos p USING (tenant_id, photo_id)
               WHERE d.tenant_id = NEW.tenant_id AND d.keeper_id = NEW.photo_id
                   AND p.trashed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'photo % is the last live copy of photos in the trash',
            encode(NEW.photo_id, 'hex') USING ERRCODE = 'PO001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_the_last_copy BEFORE UPDATE OF trashed_at ON photos
    FOR EACH ROW WHEN (NEW.trashed_at IS NOT NULL AND OLD.trashed_at IS NULL)
    EXECUTE FUNCTION photoorg_keep_the_last_copy();
