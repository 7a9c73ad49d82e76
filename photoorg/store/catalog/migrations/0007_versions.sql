-- Moving a library to another version of its index, or to another embedding space.

-- An event without a photo: from here on other versions or spaces serve. What is already known
-- about a tenant is asked anew when its log moves, so every replica sees the change at once.
ALTER TABLE delta_log DROP CONSTRAINT delta_log_op_check;
ALTER TABLE delta_log ADD CONSTRAINT delta_log_op_check
    CHECK (op IN ('add', 'delete', 'hide', 'show', 'switch'));

-- The log holds nothing up to `seq` any more; whoever stands before it must load a version anew.
CREATE TABLE delta_floors (
    tenant_id  text NOT NULL,
    seq        bigint NOT NULL,
    PRIMARY KEY (tenant_id)
);

ALTER TABLE index_versions
    ADD COLUMN wanted     boolean NOT NULL DEFAULT false,  -- slots are to hold it beside the active one
    ADD COLUMN switch_seq bigint NOT NULL DEFAULT 0;       -- the log's position when it became active

-- What each replica of a shard slot holds, said again every few seconds.
CREATE TABLE slot_reports (
    tenant_id  text NOT NULL,
    replica    text NOT NULL,
    space_id   text NOT NULL,
    version    text NOT NULL,
    slot       integer NOT NULL,
    slots      integer NOT NULL,
    delta_seq  bigint NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, replica, space_id, version)
);

-- Every change of what serves: the newest row of a kind that is a cutover or rollback is in force.
CREATE TABLE switches (
    tenant_id    text NOT NULL,
    switch_id    bigint GENERATED ALWAYS AS IDENTITY,
    kind         text NOT NULL,
    action       text NOT NULL CHECK (action IN ('cutover', 'rollback')),
    from_space   text,
    from_version text,
    to_space     text NOT NULL,
    to_version   text NOT NULL,
    actor        text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, switch_id)
);

-- A share of the users, always the same ones, is served from another space.
CREATE TABLE canaries (
    tenant_id  text NOT NULL,
    kind       text NOT NULL,
    space_id   text NOT NULL,
    share      double precision NOT NULL CHECK (share > 0 AND share <= 1),
    salt       text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind),
    FOREIGN KEY (tenant_id, space_id) REFERENCES spaces
);

-- Live queries that were also put to a shadow index, and how the two answers compare.
CREATE TABLE dual_reads (
    tenant_id    text NOT NULL,
    read_id      bigint GENERATED ALWAYS AS IDENTITY,
    live_space   text NOT NULL,
    space_id     text NOT NULL,
    version      text NOT NULL,
    query        text NOT NULL,
    k            integer NOT NULL,
    overlap      double precision NOT NULL,
    rank_corr    double precision,
    score_drift  double precision,
    live_ms      double precision NOT NULL,
    shadow_ms    double precision NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, read_id)
);
CREATE INDEX dual_reads_version ON dual_reads (tenant_id, space_id, version, read_id);

CREATE TABLE index_comparisons (
    tenant_id  text NOT NULL,
    space_id   text NOT NULL,
    version    text NOT NULL,
    passed     boolean NOT NULL,
    report     jsonb NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, space_id, version)
);

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'delta_floors', 'slot_reports', 'switches', 'canaries', 'dual_reads',
    'index_comparisons']) AS name;
