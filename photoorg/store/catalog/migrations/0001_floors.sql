-- Tenancy, photos, queue, delta log, spaces and index versions.
-- photoorg.app_role and photoorg.worker_role are set by the runner before each migration.

CREATE FUNCTION photoorg_tenant() RETURNS text LANGUAGE sql STABLE
    AS $$ SELECT current_setting('photoorg.tenant') $$;

-- Every table with a tenant_id is handed to this once; a test checks that none was forgotten.
CREATE FUNCTION photoorg_protect(target regclass, privileges text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE app text := current_setting('photoorg.app_role');
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY tenant ON %s TO %I USING (tenant_id = photoorg_tenant())'
        ' WITH CHECK (tenant_id = photoorg_tenant())', target, app);
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', target);
    EXECUTE format('GRANT %s ON %s TO %I', privileges, target, app);
END $$;

CREATE TABLE tenants (
    tenant_id  text PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    email      text,
    role       text NOT NULL DEFAULT 'viewer' CHECK (role IN ('viewer', 'editor', 'admin')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);

CREATE TABLE photos (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL CHECK (octet_length(photo_id) = 32),
    uri        text NOT NULL,       -- where the photo was first seen
    uri_key    bytea NOT NULL,      -- 16-byte hash of it: URIs are too long for an index
    blob_uri   text,                -- where its bytes are, if not at uri: a path in the store
    filename   text NOT NULL DEFAULT '',
    mime       text NOT NULL,
    size       bigint NOT NULL,
    width      integer NOT NULL,
    height     integer NOT NULL,
    frames     integer NOT NULL DEFAULT 1,
    decoder    text NOT NULL DEFAULT '',
    status     text NOT NULL CHECK (status IN ('queued', 'processing', 'ready', 'partial', 'failed')),
    reason     text,
    captured_at timestamptz,
    captured_offset_minutes integer,
    captured_source text,
    latitude   double precision,
    longitude  double precision,
    altitude_m double precision,
    make       text,
    model      text,
    lens       text,
    exposure_s double precision,
    f_number   double precision,
    iso        integer,
    focal_mm   double precision,
    software   text,
    content_id text,
    burst_id   text,
    subsec     text,
    orientation integer,
    pdq        bytea,
    pdq_quality integer,
    phash      bytea,
    dhash      bytea,
    ahash      bytea,
    sharpness  real,
    exposure   real,
    contrast   real,
    resolution real,
    quality    real,
    has_thumbnail boolean NOT NULL DEFAULT false,
    run_id     text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, photo_id)
);
CREATE INDEX photos_created ON photos (tenant_id, created_at DESC, photo_id DESC);
CREATE INDEX photos_captured ON photos (tenant_id, captured_at, photo_id);

CREATE TABLE photo_sources (
    tenant_id  text NOT NULL,
    uri_key    bytea NOT NULL,
    uri        text NOT NULL,
    photo_id   bytea NOT NULL,
    etag       text NOT NULL,
    run_id     text,
    part       integer,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, uri_key),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX photo_sources_photo ON photo_sources (tenant_id, photo_id);
CREATE INDEX photo_sources_run ON photo_sources (tenant_id, run_id);

-- Files of deleted photos: a later look at their folder passes them over until they change.
CREATE TABLE forgotten_sources (
    tenant_id  text NOT NULL,
    uri_key    bytea NOT NULL,
    uri        text NOT NULL,
    etag       text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, uri_key)
);

CREATE TABLE photo_failures (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    stage      text NOT NULL,
    reason     text NOT NULL,
    code       text NOT NULL,
    retryable  boolean NOT NULL,
    failed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, photo_id, stage),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);

CREATE TABLE faces (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    face_no    integer NOT NULL,
    box        real[] NOT NULL,
    landmarks  real[] NOT NULL,
    score      real NOT NULL,
    quality    real NOT NULL,
    age        real,
    gender     text,
    space_id   text NOT NULL,
    embedding  bytea,              -- float16, little-endian
    PRIMARY KEY (tenant_id, photo_id, face_no),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);

-- RAW with its JPEG, frames of a burst: what imaging.pairing found, with its evidence in words.
CREATE TABLE photo_pairs (
    tenant_id  text NOT NULL,
    kind       text NOT NULL,
    first_id   bytea NOT NULL,
    second_id  bytea NOT NULL,
    confidence real NOT NULL,
    evidence   text[] NOT NULL,
    found_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, first_id, second_id),
    FOREIGN KEY (tenant_id, first_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, second_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX photo_pairs_second ON photo_pairs (tenant_id, second_id);

CREATE TABLE rejects (
    tenant_id  text NOT NULL,
    uri_key    bytea NOT NULL,
    key        text NOT NULL,
    etag       text NOT NULL,
    stage      text NOT NULL,
    reason     text NOT NULL,
    code       text NOT NULL,
    retryable  boolean NOT NULL,
    run_id     text NOT NULL,
    part       integer NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, uri_key)
);
CREATE INDEX rejects_run ON rejects (tenant_id, run_id);

CREATE TABLE runs (
    tenant_id  text NOT NULL,
    run_id     text NOT NULL,
    job        text NOT NULL DEFAULT 'ingest',
    started_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, run_id)
);

CREATE TABLE run_parts (
    tenant_id  text NOT NULL,
    run_id     text NOT NULL,
    part       integer NOT NULL,
    photos     integer NOT NULL,
    rejects    integer NOT NULL,
    loaded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, run_id, part)
);

CREATE TABLE uploads (
    tenant_id   text NOT NULL,
    photo_id    bytea NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    attempts    integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, photo_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX uploads_waiting ON uploads (enqueued_at);

CREATE SEQUENCE delta_seq;
CREATE TABLE delta_log (
    tenant_id  text NOT NULL,
    seq        bigint NOT NULL,
    space_id   text,               -- null: the event concerns every space
    op         text NOT NULL CHECK (op IN ('add', 'delete')),
    photo_id   bytea NOT NULL,
    vector     bytea,              -- float16, little-endian
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, seq),
    CHECK ((op = 'add') = (vector IS NOT NULL AND space_id IS NOT NULL))
);

CREATE TABLE spaces (
    tenant_id   text NOT NULL,
    space_id    text NOT NULL,
    kind        text NOT NULL,
    description jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space_id)
);

CREATE TABLE tenant_spaces (
    tenant_id  text NOT NULL,
    kind       text NOT NULL,
    space_id   text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind),
    FOREIGN KEY (tenant_id, space_id) REFERENCES spaces
);

CREATE TABLE index_versions (
    tenant_id    text NOT NULL,
    space_id     text NOT NULL,
    version      text NOT NULL,
    status       text NOT NULL
        CHECK (status IN ('building', 'shadow', 'active', 'deprecated', 'deleted')),
    location     text NOT NULL,
    vectors      bigint NOT NULL,
    shards       integer NOT NULL,
    recall_at_10 double precision,
    delta_seq    bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space_id, version)
);
CREATE UNIQUE INDEX index_versions_one_active ON index_versions (tenant_id, space_id)
    WHERE status = 'active';

CREATE TABLE thresholds (
    tenant_id  text NOT NULL,
    space_id   text NOT NULL,
    name       text NOT NULL,
    value      double precision NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space_id, name)
);

CREATE TABLE tags (
    tenant_id  text NOT NULL,
    tag_id     bigint GENERATED ALWAYS AS IDENTITY,
    category   text NOT NULL DEFAULT '',
    label      text NOT NULL,
    PRIMARY KEY (tenant_id, tag_id),
    UNIQUE (tenant_id, category, label)
);

CREATE TABLE photo_tags (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    tag_id     bigint NOT NULL,
    score      real,
    source     text NOT NULL DEFAULT 'user',
    PRIMARY KEY (tenant_id, photo_id, tag_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, tag_id) REFERENCES tags ON DELETE CASCADE
);
CREATE INDEX photo_tags_tag ON photo_tags (tenant_id, tag_id);

CREATE TABLE audit_log (
    tenant_id  text NOT NULL,
    audit_id   bigint GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,
    action     text NOT NULL,
    entity     text NOT NULL,
    entity_id  text NOT NULL,
    detail     jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, audit_id)
);
CREATE INDEX audit_log_entity ON audit_log (tenant_id, entity, entity_id);

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'tenants', 'users', 'photos', 'photo_sources', 'photo_failures', 'faces', 'rejects', 'runs',
    'run_parts', 'uploads', 'spaces', 'tenant_spaces', 'index_versions', 'thresholds', 'tags',
    'photo_tags', 'delta_log', 'forgotten_sources',
    'photo_pairs']) AS name;
SELECT photoorg_protect('audit_log', 'SELECT, INSERT');   -- what happened is never rewritten

DO $$
DECLARE
    app text := current_setting('photoorg.app_role');
    worker text := current_setting('photoorg.worker_role');
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I, %I', current_schema(), app, worker);
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), app);
    EXECUTE format('GRANT USAGE ON SEQUENCE delta_seq TO %I', app);
    -- The queue worker picks work of every tenant, and sees nothing else of theirs.
    EXECUTE format('CREATE POLICY worker ON uploads TO %I USING (true) WITH CHECK (true)', worker);
    EXECUTE format('GRANT SELECT, UPDATE (lease_until, attempts) ON uploads TO %I', worker);
END $$;
