-- Contents whose rows are gone and whose files are still to be removed from the object store: noted
-- in the transaction that removes the row, so that a crash between the two leaves no file behind.

CREATE TABLE leaving_blobs (
    tenant_id text NOT NULL,
    blob_id   bytea NOT NULL CHECK (octet_length(blob_id) = 32),
    left_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, blob_id)
);
SELECT photoorg_protect('leaving_blobs', 'SELECT, INSERT, DELETE');
