-- Contents whose files were removed stay on the list: a part of an ingest that was written before and
-- is loaded after that looks whether its files are still there, and for no others.
ALTER TABLE leaving_blobs ADD COLUMN removed_at timestamptz;
CREATE INDEX leaving_blobs_waiting ON leaving_blobs (tenant_id, left_at, blob_id)
    WHERE removed_at IS NULL;

DO $$ BEGIN
    EXECUTE format('GRANT UPDATE ON leaving_blobs TO %I', current_setting('photoorg.app_role'));
END $$;
