-- Words of photos for keyword search, and a count of changes that tells caches when to look again.
--
-- PostgreSQL's own full text makes the words (parser, stems, stop words, weights), but a GIN index
-- over them would not be used: under row level security an index condition must be leakproof, and
-- @@ is not. So the words are kept as rows, one per word and photo, behind a B-tree whose equality
-- and order are leakproof and which begins with the tenant. Fuzzy matching compares trigrams of the
-- words, also as rows: pg_trgm's operators are not leakproof either, and not every server has it.

CREATE TABLE library_changes (
    tenant_id  text NOT NULL,
    lane       integer NOT NULL,   -- of the backend, so that writers never wait for each other
    changes    bigint NOT NULL,    -- the sum over all lanes only grows, in the order of commits
    PRIMARY KEY (tenant_id, lane)
);

CREATE TABLE photo_texts (
    tenant_id  text NOT NULL,
    photo_id   bytea NOT NULL,
    text_no    bigint GENERATED ALWAYS AS IDENTITY,
    document   tsvector NOT NULL,
    PRIMARY KEY (tenant_id, photo_id),
    FOREIGN KEY (tenant_id, photo_id) REFERENCES photos ON DELETE CASCADE
);
CREATE UNIQUE INDEX photo_texts_no ON photo_texts (tenant_id, text_no) INCLUDE (photo_id);

CREATE TABLE text_postings (
    tenant_id  text NOT NULL,
    word       text COLLATE "C" NOT NULL,
    weight     real NOT NULL,      -- 1 title, tags, people; 0.4 caption, albums; 0.2 OCR; 0.1 file
    text_no    bigint NOT NULL,
    PRIMARY KEY (tenant_id, word, weight, text_no)
);

CREATE TABLE text_grams (
    tenant_id  text NOT NULL,
    gram       text COLLATE "C" NOT NULL,
    word       text COLLATE "C" NOT NULL,
    lane       integer NOT NULL,
    PRIMARY KEY (tenant_id, gram, word, lane)
);

-- Lower case, without accents, and with a space for everything that is neither letter nor digit.
CREATE FUNCTION photoorg_words(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT trim(regexp_replace(
        regexp_replace(lower(normalize(coalesce(said, ''), NFKD)), '[\u0300-\u036f]', '', 'g'),
        '[\u0001-\u002f\u003a-\u0060\u007b-\u00bf\u2000-\u206f\u3000-\u303f]+', ' ', 'g')) $$;

-- The words of a document, each with the weight of the best place it was found at.
CREATE FUNCTION photoorg_postings(document tsvector) RETURNS TABLE (word text, weight real)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lexeme, CASE (SELECT min(w) FROM unnest(weights) w)
        WHEN 'A' THEN 1.0 WHEN 'B' THEN 0.4 WHEN 'C' THEN 0.2 ELSE 0.1 END::real
    FROM unnest(document) WHERE length(lexeme) <= 64 $$;

-- The trigrams of a word, as pg_trgm cuts them: two spaces before it, one behind.
CREATE FUNCTION photoorg_grams(word text) RETURNS TABLE (gram text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT DISTINCT substr('  ' || word || ' ', i, 3) FROM generate_series(1, length(word) + 1) i $$;

CREATE FUNCTION photoorg_document(tenant text, photo photos) RETURNS tsvector
LANGUAGE sql STABLE AS $$
    SELECT setweight(to_tsvector('english', photoorg_words(photo.title)), 'A')
        || setweight(to_tsvector('simple', photoorg_words(labels.said)), 'A')
        || setweight(to_tsvector('english', photoorg_words(labels.said)), 'A')
        || setweight(to_tsvector('simple', photoorg_words(names.said)), 'A')
        || setweight(to_tsvector('english', photoorg_words(photo.caption)), 'B')
        || setweight(to_tsvector('simple', photoorg_words(groups.said)), 'B')
        || setweight(to_tsvector('english', photoorg_words(groups.said)), 'B')
        || setweight(to_tsvector('english', photoorg_words(left(photo.ocr_text, 20000))), 'C')
        || setweight(to_tsvector('simple',
            photoorg_words(regexp_replace(photo.filename, '\.[^.]*$', ''))), 'D')
    FROM (SELECT string_agg(t.label, ' ') AS said FROM photo_tags l
            JOIN tags t USING (tenant_id, tag_id)
            WHERE l.tenant_id = tenant AND l.photo_id = photo.photo_id) AS labels,
        (SELECT string_agg(DISTINCT n.name, ' ') AS said FROM face_people l
            JOIN persons n USING (tenant_id, person_id)
            WHERE l.tenant_id = tenant AND l.photo_id = photo.photo_id AND NOT n.hidden) AS names,
        (SELECT string_agg(a.name, ' ') AS said FROM album_photos l
            JOIN albums a USING (tenant_id, album_id)
            WHERE l.tenant_id = tenant AND l.photo_id = photo.photo_id) AS groups $$;

-- Bring the words of some photos up to date. Their rows are locked first, so that of two changes
-- to one photo the later one sees the other.
CREATE FUNCTION photoorg_refresh_texts(tenant text, ids bytea[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    changed bytea[];
    documents tsvector[];
BEGIN
    PERFORM FROM photos p WHERE p.tenant_id = tenant AND p.photo_id = ANY (ids)
        ORDER BY p.photo_id FOR NO KEY UPDATE;
    SELECT array_agg(f.photo_id), array_agg(f.document) INTO changed, documents FROM (
        SELECT p.photo_id, photoorg_document(tenant, p) AS document FROM photos p
        WHERE p.tenant_id = tenant AND p.photo_id = ANY (ids)) f
    LEFT JOIN photo_texts t ON t.tenant_id = tenant AND t.photo_id = f.photo_id
    WHERE t.document IS DISTINCT FROM f.document;
    IF changed IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM text_postings p USING photo_texts t, photoorg_postings(t.document) was
    WHERE t.tenant_id = tenant AND t.photo_id = ANY (changed) AND p.tenant_id = tenant
        AND p.word = was.word AND p.weight = was.weight AND p.text_no = t.text_no;
    INSERT INTO photo_texts AS t (tenant_id, photo_id, document)
        SELECT tenant, f.photo_id, f.document FROM unnest(changed, documents) f(photo_id, document)
        ORDER BY f.photo_id
    ON CONFLICT (tenant_id, photo_id) DO UPDATE SET document = excluded.document;
    INSERT INTO text_postings (tenant_id, word, weight, text_no)
        SELECT tenant, f.word, f.weight, t.text_no
        FROM photo_texts t, photoorg_postings(t.document) f
        WHERE t.tenant_id = tenant AND t.photo_id = ANY (changed)
    ON CONFLICT DO NOTHING;
    -- Numbers are never misspelt words. A lane each, so that nobody waits for a common word.
    INSERT INTO text_grams (tenant_id, gram, word, lane)
        SELECT tenant, g.gram, w.word, pg_backend_pid() % 1024
        FROM (SELECT DISTINCT f.word FROM unnest(documents) d, photoorg_postings(d) f
            WHERE f.word ~ '^[^0-9]{4,}$') w, photoorg_grams(w.word) g
        WHERE NOT EXISTS (SELECT FROM text_grams k
            WHERE k.tenant_id = tenant AND k.gram = g.gram AND k.word = w.word)
        ORDER BY g.gram, w.word
    ON CONFLICT DO NOTHING;
END $$;

-- The tenant whose rows are being changed; null where it is not the application that writes.
DO $$ BEGIN
    EXECUTE format('CREATE FUNCTION photoorg_writer() RETURNS text LANGUAGE sql STABLE AS %L', format(
        'SELECT nullif(current_setting(''photoorg.tenant'', true), '''') WHERE current_user = %L',
        current_setting('photoorg.app_role')));
END $$;

CREATE FUNCTION photoorg_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE tenant text := photoorg_writer();
BEGIN
    IF tenant IS NOT NULL THEN
        INSERT INTO library_changes AS c (tenant_id, lane, changes)
            VALUES (tenant, pg_backend_pid() % 1024, 1)
        ON CONFLICT (tenant_id, lane) DO UPDATE SET changes = c.changes + 1;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION photoorg_texts_of_photos() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant text := photoorg_writer();
    ids bytea[];
BEGIN
    IF tenant IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(photo_id) INTO ids FROM fresh;
    ELSE
        SELECT array_agg(n.photo_id) INTO ids FROM fresh n JOIN gone o USING (tenant_id, photo_id)
        WHERE (n.title, n.caption, n.ocr_text, n.filename)
            IS DISTINCT FROM (o.title, o.caption, o.ocr_text, o.filename);
    END IF;
    IF ids IS NOT NULL THEN
        PERFORM photoorg_refresh_texts(tenant, ids);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION photoorg_texts_of_links() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant text := photoorg_writer();
    ids bytea[];
BEGIN
    IF tenant IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT photo_id) INTO ids FROM fresh;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT photo_id) INTO ids FROM gone;
    ELSE
        SELECT array_agg(DISTINCT photo_id) INTO ids
            FROM (SELECT photo_id FROM fresh UNION SELECT photo_id FROM gone) both_;
    END IF;
    IF ids IS NOT NULL THEN
        PERFORM photoorg_refresh_texts(tenant, ids);
    END IF;
    RETURN NULL;
END $$;

-- Tags, people and albums that got another name.
CREATE FUNCTION photoorg_texts_of_names() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant text := photoorg_writer();
    ids bytea[];
BEGIN
    IF tenant IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_TABLE_NAME = 'tags' THEN
        SELECT array_agg(DISTINCT l.photo_id) INTO ids FROM fresh JOIN photo_tags l
            ON l.tenant_id = fresh.tenant_id AND l.tag_id = fresh.tag_id;
    ELSIF TG_TABLE_NAME = 'persons' THEN
        SELECT array_agg(DISTINCT l.photo_id) INTO ids FROM fresh JOIN face_people l
            ON l.tenant_id = fresh.tenant_id AND l.person_id = fresh.person_id;
    ELSE
        SELECT array_agg(DISTINCT l.photo_id) INTO ids FROM fresh JOIN album_photos l
            ON l.tenant_id = fresh.tenant_id AND l.album_id = fresh.album_id;
    END IF;
    IF ids IS NOT NULL THEN
        PERFORM photoorg_refresh_texts(tenant, ids);
    END IF;
    RETURN NULL;
END $$;

-- Rows that go by a cascade go by the hand of the tables' owner, whom row level security binds too
-- and shows nothing. So what hangs on a row that is deleted is removed first, by who deletes it.
CREATE FUNCTION photoorg_forget_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF photoorg_writer() IS NULL THEN
        RETURN OLD;
    END IF;
    IF TG_TABLE_NAME = 'photos' THEN
        DELETE FROM text_postings p USING photo_texts t, photoorg_postings(t.document) was
        WHERE t.tenant_id = OLD.tenant_id AND t.photo_id = OLD.photo_id
            AND p.tenant_id = t.tenant_id AND p.word = was.word AND p.weight = was.weight
            AND p.text_no = t.text_no;
        DELETE FROM photo_texts t WHERE t.tenant_id = OLD.tenant_id AND t.photo_id = OLD.photo_id;
    ELSIF TG_TABLE_NAME = 'tags' THEN
        DELETE FROM photo_tags l WHERE l.tenant_id = OLD.tenant_id AND l.tag_id = OLD.tag_id;
    ELSIF TG_TABLE_NAME = 'persons' THEN
        DELETE FROM face_people l WHERE l.tenant_id = OLD.tenant_id AND l.person_id = OLD.person_id;
    ELSIF TG_TABLE_NAME = 'albums' THEN
        DELETE FROM album_photos l WHERE l.tenant_id = OLD.tenant_id AND l.album_id = OLD.album_id;
    ELSE
        DELETE FROM face_people l WHERE l.tenant_id = OLD.tenant_id AND l.photo_id = OLD.photo_id
            AND l.face_no = OLD.face_no;
    END IF;
    RETURN OLD;
END $$;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['photos', 'faces', 'tags', 'persons', 'albums'] LOOP
        EXECUTE format('CREATE TRIGGER links_first BEFORE DELETE ON %I FOR EACH ROW'
            ' EXECUTE FUNCTION photoorg_forget_links()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['photos', 'photo_tags', 'tags', 'face_people', 'persons',
            'album_photos', 'albums'] LOOP
        EXECUTE format('CREATE TRIGGER changes AFTER INSERT OR UPDATE OR DELETE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION photoorg_count_change()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['photo_tags', 'face_people', 'album_photos'] LOOP
        EXECUTE format('CREATE TRIGGER texts_added AFTER INSERT ON %I REFERENCING NEW TABLE AS'
            ' fresh FOR EACH STATEMENT EXECUTE FUNCTION photoorg_texts_of_links()', name);
        EXECUTE format('CREATE TRIGGER texts_changed AFTER UPDATE ON %I REFERENCING OLD TABLE AS'
            ' gone NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION'
            ' photoorg_texts_of_links()', name);
        EXECUTE format('CREATE TRIGGER texts_removed AFTER DELETE ON %I REFERENCING OLD TABLE AS'
            ' gone FOR EACH STATEMENT EXECUTE FUNCTION photoorg_texts_of_links()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['tags', 'persons', 'albums'] LOOP
        EXECUTE format('CREATE TRIGGER texts_renamed AFTER UPDATE ON %I REFERENCING NEW TABLE AS'
            ' fresh FOR EACH STATEMENT EXECUTE FUNCTION photoorg_texts_of_names()', name);
    END LOOP;
END $$;

CREATE TRIGGER texts_added AFTER INSERT ON photos REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION photoorg_texts_of_photos();
CREATE TRIGGER texts_changed AFTER UPDATE ON photos
    REFERENCING OLD TABLE AS gone NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION photoorg_texts_of_photos();

SELECT photoorg_protect(name::regclass, 'SELECT, INSERT, UPDATE, DELETE') FROM unnest(ARRAY[
    'library_changes', 'photo_texts', 'text_postings', 'text_grams']) AS name;

-- Photos that were there before. Only their own tenant's role may see them, so it does the work.
ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    app text := current_setting('photoorg.app_role');
    all_tenants text[] := ARRAY(SELECT tenant_id FROM tenants);
    tenant text;
    ids bytea[];
    last bytea;
BEGIN
    FOREACH tenant IN ARRAY all_tenants LOOP
        PERFORM set_config('photoorg.tenant', tenant, true), set_config('role', app, true);
        last := '';
        LOOP
            ids := ARRAY(SELECT photo_id FROM photos WHERE tenant_id = tenant AND photo_id > last
                ORDER BY photo_id LIMIT 5000);
            EXIT WHEN cardinality(ids) = 0;
            PERFORM photoorg_refresh_texts(tenant, ids);
            last := ids[cardinality(ids)];
        END LOOP;
    END LOOP;
    PERFORM set_config('role', 'none', true), set_config('photoorg.tenant', '', true);
END $$;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
