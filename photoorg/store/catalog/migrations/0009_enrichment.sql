-- Tags that machines and people give: which category a tag belongs to, and which ones a photo
-- must not get again.

-- One tag a label, whoever gave it first: its category is then a matter of mapping. Nothing wrote
-- tags before this migration, so there is nothing to merge.
CREATE UNIQUE INDEX tags_label ON tags (tenant_id, label);

-- What people decided a tag's category to be; without a row it is the one its maker gave (tags).
CREATE TABLE tag_categories (
    tenant_id  text NOT NULL,
    label      text NOT NULL CHECK (label <> ''),
    category   text NOT NULL,
    mapped_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, label)
);

-- Tags that a person took off a photo: no machine puts them on again.
CREATE TABLE tag_refusals (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    tag_id     bigint NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, photo_id, tag_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, tag_id) REFERENCES tags ON DELETE CASCADE
);
CREATE INDEX tag_refusals_tag ON tag_refusals (tenant_id, tag_id);

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'tag_categories', 'tag_refusals']) AS name;
