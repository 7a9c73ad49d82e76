-- Which faces a grouping has looked at, so that those that came since are found without reading
-- all of them. A face that is found anew (its row replaced) is new again.
ALTER TABLE faces ADD COLUMN placed boolean NOT NULL DEFAULT false;
CREATE INDEX faces_waiting ON faces (tenant_id, space_id) WHERE NOT placed;
