-- What people decide about single photos, and the groups that several parts of photoorg share.

ALTER TABLE photos
    ADD COLUMN trashed_at  timestamptz,    -- hidden from every search and list, can be restored
    ADD COLUMN archived_at timestamptz,    -- kept out of the timeline, found by searches
    ADD COLUMN favourite   boolean NOT NULL DEFAULT false,
    ADD COLUMN title       text,
    ADD COLUMN caption     text,
    ADD COLUMN ocr_text    text,
    ADD COLUMN nsfw        real CHECK (nsfw BETWEEN 0 AND 1);
CREATE INDEX photos_trashed ON photos (tenant_id, trashed_at, photo_id)
    WHERE trashed_at IS NOT NULL;

-- A trashed photo is hidden from searches, its vectors stay; a restored one is shown again.
ALTER TABLE delta_log DROP CONSTRAINT delta_log_op_check;
ALTER TABLE delta_log ADD CONSTRAINT delta_log_op_check
    CHECK (op IN ('add', 'delete', 'hide', 'show'));

CREATE TABLE albums (
    tenant_id  text NOT NULL,
    album_id   bigint GENERATED ALWAYS AS IDENTITY,
    name       text NOT NULL CHECK (name <> ''),
    kind       text NOT NULL DEFAULT 'manual' CHECK (kind IN ('manual', 'suggested')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, album_id)
);

CREATE TABLE album_photos (
    tenant_id  text NOT NULL,
    album_id   bigint NOT NULL,
    photo_id   bytea NOT NULL,
    added_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, album_id, photo_id),
    FOREIGN KEY (tenant_id, album_id) REFERENCES albums ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX album_photos_photo ON album_photos (tenant_id, photo_id);

CREATE TABLE persons (
    tenant_id  text NOT NULL,
    person_id  bigint GENERATED ALWAYS AS IDENTITY,
    name       text,               -- null: nobody has named this person yet
    hidden     boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, person_id)
);

CREATE TABLE face_people (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    face_no    integer NOT NULL,
    person_id  bigint NOT NULL,
    source     text NOT NULL CHECK (source IN ('user', 'cluster', 'assigned')),
    confidence real,
    PRIMARY KEY (tenant_id, photo_id, face_no),
    FOREIGN KEY (tenant_id, photo_id, face_no) REFERENCES faces ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, person_id) REFERENCES persons ON DELETE CASCADE
);
CREATE INDEX face_people_person ON face_people (tenant_id, person_id);

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'albums', 'album_photos', 'persons', 'face_people']) AS name;
