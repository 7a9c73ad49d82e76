-- What a rollback lost from sight: photos that came only to what served before it.
ALTER TABLE switches ADD COLUMN lacking bigint NOT NULL DEFAULT 0;
