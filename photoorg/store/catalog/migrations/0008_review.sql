-- Photos unlike all others, rules over many photos, and what people said of answers.

CREATE TABLE anomalies (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    space_id   text NOT NULL,
    score      real NOT NULL CHECK (score BETWEEN 0 AND 1),
    nearest    real NOT NULL,              -- cosine distance to the nearest other photo
    density    real NOT NULL,              -- local outlier factor: about 1 among its like
    ood        real NOT NULL,              -- robust z of the distance to the k-th neighbour
    reasons    text[] NOT NULL,
    status     text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'dismissed')),
    found_at   timestamptz NOT NULL DEFAULT now(),
    decided_by text,
    decided_at timestamptz,
    PRIMARY KEY (tenant_id, photo_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX anomalies_queue ON anomalies (tenant_id, status, score DESC, photo_id);

CREATE TABLE rule_runs (
    tenant_id  text NOT NULL,
    run_id     bigint GENERATED ALWAYS AS IDENTITY,
    name       text NOT NULL,
    action     text NOT NULL CHECK (action IN ('archive', 'trash', 'tag', 'favourite')),
    rule       jsonb NOT NULL,
    actor      text NOT NULL,
    photos     integer NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    undone_at  timestamptz,
    PRIMARY KEY (tenant_id, run_id)
);

-- The photos a run changed: exactly these are put back when it is undone.
CREATE TABLE rule_run_photos (
    tenant_id  text NOT NULL,
    run_id     bigint NOT NULL,
    photo_id   bytea NOT NULL,
    PRIMARY KEY (tenant_id, run_id, photo_id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES rule_runs ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX rule_run_photos_photo ON rule_run_photos (tenant_id, photo_id);

-- A verdict on one answer: was it right? `score` and `signals` are what the answer showed.
CREATE TABLE feedback (
    tenant_id   text NOT NULL,
    feedback_id bigint GENERATED ALWAYS AS IDENTITY,
    kind        text NOT NULL CHECK (kind IN ('search', 'similar', 'duplicate', 'person')),
    photo_id    bytea NOT NULL,
    query_id    bytea,                     -- the photo it was found by, if any
    query       text,
    accepted    boolean NOT NULL,
    score       real,
    signals     jsonb NOT NULL DEFAULT '{}',
    space_id    text,
    actor       text NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, feedback_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX feedback_photo ON feedback (tenant_id, photo_id);

CREATE TABLE clicks (
    tenant_id  text NOT NULL,
    click_id   bigint GENERATED ALWAYS AS IDENTITY,
    photo_id   bytea NOT NULL,
    query_id   bytea,
    query      text,
    position   integer NOT NULL CHECK (position >= 1),
    shown      integer NOT NULL CHECK (shown >= position),
    score      real,
    signals    jsonb NOT NULL DEFAULT '{}',
    space_id   text,
    actor      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, click_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX clicks_photo ON clicks (tenant_id, photo_id);

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'anomalies', 'rule_runs', 'rule_run_photos', 'feedback', 'clicks']) AS name;
