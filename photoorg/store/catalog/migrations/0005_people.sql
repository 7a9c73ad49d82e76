-- Consent to faces, what people say about faces and persons, clusters of faces and of photos.

-- The user '' stands for the tenant as a whole: faces are read where both agreed.
CREATE TABLE face_consents (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    agreed     boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);

-- Whose consent a face was read under; withdrawing it deletes the face.
ALTER TABLE faces ADD COLUMN user_id text NOT NULL DEFAULT '';
CREATE INDEX faces_user ON faces (tenant_id, user_id);
CREATE INDEX faces_space ON faces (tenant_id, space_id);

-- The check of the new key reads the table without a tenant; its owner may, for this moment.
ALTER TABLE persons NO FORCE ROW LEVEL SECURITY;
ALTER TABLE persons
    ADD COLUMN merged_into bigint,
    ADD COLUMN vouched     boolean NOT NULL DEFAULT false,   -- a person was named, merged or split
    ADD COLUMN cover_photo bytea,
    ADD COLUMN cover_face  integer,
    ADD FOREIGN KEY (tenant_id, merged_into) REFERENCES persons,
    ADD CHECK (merged_into <> person_id),
    ADD CHECK (name <> '');
ALTER TABLE persons FORCE ROW LEVEL SECURITY;
CREATE INDEX persons_merged ON persons (tenant_id, merged_into) WHERE merged_into IS NOT NULL;

-- person_id is who the face is now; origin_id who it was before any merge, so that a merge can be
-- undone. cluster_no and core tell later faces how near they must come.
ALTER TABLE face_people
    ADD COLUMN origin_id  bigint,
    ADD COLUMN cluster_no integer,
    ADD COLUMN core       real;

CREATE TABLE person_merges (
    tenant_id  text NOT NULL,
    merge_id   bigint GENERATED ALWAYS AS IDENTITY,
    kept_id    bigint NOT NULL,
    merged_id  bigint NOT NULL,
    name_taken text,                -- the name the kept person took over from the merged one
    actor      text NOT NULL,
    merged_at  timestamptz NOT NULL DEFAULT now(),
    undone_at  timestamptz,
    undone_by  text,
    PRIMARY KEY (tenant_id, merge_id),
    FOREIGN KEY (tenant_id, kept_id) REFERENCES persons ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, merged_id) REFERENCES persons ON DELETE CASCADE
);
CREATE INDEX person_merges_merged ON person_merges (tenant_id, merged_id);
CREATE INDEX person_merges_kept ON person_merges (tenant_id, kept_id);

-- Who a face is (same) or is not. Kept by its place in the photo, which outlives detection anew.
CREATE TABLE face_decisions (
    tenant_id  text NOT NULL,
    decision_id bigint GENERATED ALWAYS AS IDENTITY,
    photo_id   bytea NOT NULL,
    box        real[] NOT NULL,
    person_id  bigint NOT NULL,
    same       boolean NOT NULL,
    user_id    text NOT NULL DEFAULT '',    -- whose consent covers the face
    actor      text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, decision_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, person_id) REFERENCES persons ON DELETE CASCADE
);
CREATE INDEX face_decisions_photo ON face_decisions (tenant_id, photo_id);
CREATE INDEX face_decisions_person ON face_decisions (tenant_id, person_id);

-- Two faces are one person (must) or two (cannot), whoever they are.
CREATE TABLE face_links (
    tenant_id  text NOT NULL,
    link_id    bigint GENERATED ALWAYS AS IDENTITY,
    first_photo  bytea NOT NULL,
    first_box    real[] NOT NULL,
    second_photo bytea NOT NULL,
    second_box   real[] NOT NULL,
    same       boolean NOT NULL,
    user_id    text NOT NULL DEFAULT '',
    actor      text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, first_photo) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, second_photo) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX face_links_first ON face_links (tenant_id, first_photo);
CREATE INDEX face_links_second ON face_links (tenant_id, second_photo);

-- Persons that are not one, by a user's word (a refused suggestion, an undone merge).
CREATE TABLE person_strangers (
    tenant_id  text NOT NULL,
    first_id   bigint NOT NULL,
    second_id  bigint NOT NULL,
    actor      text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, first_id, second_id),
    CHECK (first_id < second_id),
    FOREIGN KEY (tenant_id, first_id) REFERENCES persons ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, second_id) REFERENCES persons ON DELETE CASCADE
);
CREATE INDEX person_strangers_second ON person_strangers (tenant_id, second_id);

CREATE TABLE person_suggestions (
    tenant_id  text NOT NULL,
    first_id   bigint NOT NULL,
    second_id  bigint NOT NULL,
    similarity real NOT NULL,
    found_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, first_id, second_id),
    CHECK (first_id < second_id),
    FOREIGN KEY (tenant_id, first_id) REFERENCES persons ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, second_id) REFERENCES persons ON DELETE CASCADE
);
CREATE INDEX person_suggestions_second ON person_suggestions (tenant_id, second_id);

-- The clusters of the last clustering, which new faces are placed into.
CREATE TABLE face_clusters (
    tenant_id  text NOT NULL,
    cluster_no integer NOT NULL,
    space_id   text NOT NULL,
    origin_id  bigint NOT NULL,
    centroid   bytea NOT NULL,      -- float32, little-endian
    radius     real NOT NULL,
    size       integer NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, cluster_no),
    FOREIGN KEY (tenant_id, origin_id) REFERENCES persons ON DELETE CASCADE
);
CREATE INDEX face_clusters_origin ON face_clusters (tenant_id, origin_id);

-- Who was where in photos whose faces were detected anew: found again by the place.
CREATE TABLE face_memories (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    box        real[] NOT NULL,
    origin_id  bigint NOT NULL,
    source     text NOT NULL,
    user_id    text NOT NULL,
    PRIMARY KEY (tenant_id, photo_id, box),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, origin_id) REFERENCES persons ON DELETE CASCADE
);
CREATE INDEX face_memories_origin ON face_memories (tenant_id, origin_id);

-- Detection anew deletes a photo's faces first; with the photo itself nothing is kept.
CREATE FUNCTION photoorg_remember_face() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO face_memories (tenant_id, photo_id, box, origin_id, source, user_id)
    SELECT fp.tenant_id, fp.photo_id, OLD.box, coalesce(fp.origin_id, fp.person_id), fp.source,
        OLD.user_id
    FROM face_people fp
    WHERE fp.tenant_id = OLD.tenant_id AND fp.photo_id = OLD.photo_id AND fp.face_no = OLD.face_no
        AND EXISTS (SELECT FROM photos p
            WHERE p.tenant_id = OLD.tenant_id AND p.photo_id = OLD.photo_id)
    ON CONFLICT (tenant_id, photo_id, box) DO UPDATE
        SET origin_id = excluded.origin_id, source = excluded.source;
    RETURN OLD;
END $$;
-- Triggers run in order of their names: this one before any that removes the face's links.
CREATE TRIGGER first_remember_face BEFORE DELETE ON faces
    FOR EACH ROW EXECUTE FUNCTION photoorg_remember_face();

-- Scenes: clusters of photos by what they show.
CREATE TABLE scene_runs (
    tenant_id  text NOT NULL,
    run_id     bigint GENERATED ALWAYS AS IDENTITY,
    space_id   text NOT NULL,
    settings   jsonb NOT NULL,
    photos     integer NOT NULL,
    noise      integer NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, run_id)
);

CREATE TABLE scenes (
    tenant_id  text NOT NULL,
    scene_id   bigint GENERATED ALWAYS AS IDENTITY,
    run_id     bigint NOT NULL,
    name       text NOT NULL,
    size       integer NOT NULL,
    cohesion   real NOT NULL,       -- mean cosine of the photos to the scene's direction
    cover_id   bytea NOT NULL,
    PRIMARY KEY (tenant_id, scene_id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES scene_runs ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, cover_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX scenes_run ON scenes (tenant_id, run_id);
CREATE INDEX scenes_cover ON scenes (tenant_id, cover_id);

CREATE TABLE scene_photos (
    tenant_id  text NOT NULL,
    scene_id   bigint NOT NULL,
    photo_id   bytea NOT NULL,
    score      real NOT NULL,
    x          real NOT NULL,       -- place on the two-dimensional map
    y          real NOT NULL,
    PRIMARY KEY (tenant_id, scene_id, photo_id),
    FOREIGN KEY (tenant_id, scene_id) REFERENCES scenes ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX scene_photos_photo ON scene_photos (tenant_id, photo_id);

-- A suggested album knows the photos it was made from, so that a refused one does not come back.
ALTER TABLE albums
    ADD COLUMN reason text,
    ADD COLUMN cover_id bytea;
CREATE TABLE refused_albums (
    tenant_id  text NOT NULL,
    photo_ids  bytea[] NOT NULL,
    digest     bytea NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, digest)
);

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'face_consents', 'person_merges', 'face_decisions', 'face_links', 'person_strangers',
    'person_suggestions', 'face_clusters', 'face_memories', 'scene_runs', 'scenes', 'scene_photos',
    'refused_albums']) AS name;
