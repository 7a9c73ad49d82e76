-- A scene outlives the photo that stands for it: another of its photos does then.
ALTER TABLE scenes DROP CONSTRAINT scenes_tenant_id_cover_id_fkey;
DROP INDEX scenes_cover;
