-- Events: runs of photos that belong to one occasion, and what people decided about them.

CREATE SEQUENCE event_seq;

CREATE TABLE events (
    tenant_id  text NOT NULL,
    event_id   bigint NOT NULL DEFAULT nextval('event_seq'),
    title      text CHECK (title <> ''),   -- what somebody called it; null: nobody did
    auto_title text NOT NULL DEFAULT '',
    starts_at  timestamp,                  -- local clock; null: undated
    ends_at    timestamp,
    latitude   double precision,
    longitude  double precision,
    place      text,
    kind       text NOT NULL DEFAULT 'unknown' CHECK (kind IN ('home', 'away', 'trip', 'unknown')),
    trip_id    bigint,                     -- the first event of the trip it is part of
    trip_title text,
    photos     integer NOT NULL DEFAULT 0,
    cover_id   bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX events_by_time ON events
    (tenant_id, (coalesce(starts_at, '-infinity'::timestamp)) DESC, event_id DESC);

-- pin 1: somebody put the photo there. pin 2: so too, and photos found with it follow it there.
CREATE TABLE event_photos (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    event_id   bigint NOT NULL,
    taken_at   timestamp,                  -- local clock, put right where the camera's was wrong
    pin        smallint NOT NULL DEFAULT 0 CHECK (pin BETWEEN 0 AND 2),
    PRIMARY KEY (tenant_id, photo_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, event_id) REFERENCES events ON DELETE CASCADE
);
CREATE INDEX event_photos_event ON event_photos
    (tenant_id, event_id, (coalesce(taken_at, '-infinity'::timestamp)), photo_id);

CREATE TABLE event_decisions (
    tenant_id   text NOT NULL,
    decision_id bigint GENERATED ALWAYS AS IDENTITY,
    kind        text NOT NULL CHECK (kind IN ('split', 'merge', 'move', 'rename')),
    event_id    bigint NOT NULL,           -- the event that came out of it
    actor       text NOT NULL,
    detail      jsonb NOT NULL DEFAULT '{}',
    at          timestamptz NOT NULL DEFAULT now(),
    undone_at   timestamptz,
    PRIMARY KEY (tenant_id, decision_id)
);

-- Where the photos of a decision were before it, so that it can be taken back.
CREATE TABLE event_decision_photos (
    tenant_id   text NOT NULL,
    decision_id bigint NOT NULL,
    photo_id    bytea NOT NULL,
    event_id    bigint NOT NULL,
    pin         smallint NOT NULL,
    PRIMARY KEY (tenant_id, decision_id, photo_id),
    FOREIGN KEY (tenant_id, decision_id) REFERENCES event_decisions ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE INDEX event_decision_photos_photo ON event_decision_photos (tenant_id, photo_id);

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'events', 'event_photos', 'event_decisions', 'event_decision_photos']) AS name;

DO $$ BEGIN
    EXECUTE format('GRANT USAGE ON SEQUENCE event_seq TO %I', current_setting('photoorg.app_role'));
END $$;
