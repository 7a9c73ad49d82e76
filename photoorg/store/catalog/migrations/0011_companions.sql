-- Files that are no photos and belong to one: the videos of live photos.

CREATE TABLE companions (
    tenant_id    text NOT NULL,
    companion_id bytea NOT NULL CHECK (octet_length(companion_id) = 32),
    content_id   text NOT NULL,      -- the identifier the camera wrote into still and video
    mime         text NOT NULL,
    size         bigint NOT NULL,
    duration_s   double precision,
    blob_uri     text,               -- where its bytes are, if not at its source
    added_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, companion_id)
);
CREATE INDEX companions_content ON companions (tenant_id, content_id);

CREATE TABLE companion_sources (
    tenant_id    text NOT NULL,
    uri_key      bytea NOT NULL,
    uri          text NOT NULL,
    companion_id bytea NOT NULL,
    etag         text NOT NULL,
    run_id       text,
    part         integer,
    seen_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, uri_key),
    FOREIGN KEY (tenant_id, companion_id) REFERENCES companions ON DELETE CASCADE
);
CREATE INDEX companion_sources_companion ON companion_sources (tenant_id, companion_id);

-- A still may have been exported twice, a video too: every pair that the identifier makes.
CREATE TABLE photo_companions (
    tenant_id    text NOT NULL,
    photo_id     bytea NOT NULL,
    companion_id bytea NOT NULL,
    confidence   real NOT NULL,
    evidence     text[] NOT NULL,
    found_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, photo_id, companion_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, companion_id) REFERENCES companions ON DELETE CASCADE
);
CREATE INDEX photo_companions_companion ON photo_companions (tenant_id, companion_id);

CREATE INDEX photos_content ON photos (tenant_id, content_id) WHERE content_id IS NOT NULL;

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'companions', 'companion_sources', 'photo_companions']) AS name;
