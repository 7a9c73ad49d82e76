-- Words of events, for all their photos: places and the titles that people gave them.
--
-- They are kept once an event, not once a photo: a posting whose text_no is below 0 stands for every
-- photo of the event of that number. So finding the events of a large library anew writes as many
-- rows as there are events, and a photo that moves to another event needs nothing at all.

-- What is said of an event. Its coordinates, where no place has a name, are no words to look for.
CREATE FUNCTION photoorg_said_of_event(title text, place text, trip_title text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT concat_ws(' ', title, CASE WHEN place !~ '[0-9]°' THEN place END,
        CASE WHEN trip_title LIKE 'Trip to %' THEN split_part(substr(trip_title, 9), ',', 1) END)
$$;

CREATE FUNCTION photoorg_event_postings(said text) RETURNS TABLE (word text, weight real)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT f.word, 0.3::real FROM photoorg_postings(
        setweight(to_tsvector('english', photoorg_words(said)), 'A')
        || setweight(to_tsvector('simple', photoorg_words(said)), 'A')) f $$;

-- The trigrams of words, of those that are not known yet. Numbers are never misspelt words. A lane
-- each, so that nobody waits for a common word.
CREATE FUNCTION photoorg_learn_words(tenant text, words text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO text_grams (tenant_id, gram, word, lane)
        SELECT tenant, g.gram, w.word, pg_backend_pid() % 1024
        FROM (SELECT DISTINCT w.word FROM unnest(words) w(word) WHERE w.word ~ '^[^0-9]{4,}$') w,
            photoorg_grams(w.word) g
        WHERE NOT EXISTS (SELECT FROM text_grams k
            WHERE k.tenant_id = tenant AND k.gram = g.gram AND k.word = w.word)
        ORDER BY g.gram, w.word
    ON CONFLICT DO NOTHING $$;

-- Take the words of events away and put others in their place.
CREATE FUNCTION photoorg_post_events(
    tenant text, gone_ids bigint[], gone_said text[], ids bigint[], said text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE words text[];
BEGIN
    DELETE FROM text_postings p
    USING unnest(gone_ids, gone_said) e(id, said), photoorg_event_postings(e.said) was
    WHERE p.tenant_id = tenant AND p.word = was.word AND p.weight = was.weight
        AND p.text_no = -e.id;
    INSERT INTO text_postings (tenant_id, word, weight, text_no)
        SELECT tenant, f.word, f.weight, -e.id
        FROM unnest(ids, said) e(id, said), photoorg_event_postings(e.said) f
    ON CONFLICT DO NOTHING;
    SELECT array_agg(DISTINCT f.word) INTO words
        FROM unnest(said) e(said), photoorg_event_postings(e.said) f;
    IF words IS NOT NULL THEN
        PERFORM photoorg_learn_words(tenant, words);
    END IF;
END $$;

-- One function for events that come, change and go.
CREATE FUNCTION photoorg_words_of_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant text := photoorg_writer();
    gone_ids bigint[];
    gone_said text[];
    ids bigint[];
    said text[];
BEGIN
    IF tenant IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT array_agg(event_id), array_agg(photoorg_said_of_event(title, place, trip_title))
            INTO gone_ids, gone_said FROM gone;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        SELECT array_agg(event_id), array_agg(photoorg_said_of_event(title, place, trip_title))
            INTO ids, said FROM fresh;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(id), array_agg(was), array_agg(id), array_agg(now_)
            INTO gone_ids, gone_said, ids, said
        FROM unnest(ids, said) n(id, now_) JOIN unnest(gone_ids, gone_said) o(id, was) USING (id)
        WHERE now_ <> was;
    END IF;
    IF gone_ids IS NOT NULL OR ids IS NOT NULL THEN
        PERFORM photoorg_post_events(tenant, gone_ids, gone_said, ids, said);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER words_added AFTER INSERT ON events REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION photoorg_words_of_events();
CREATE TRIGGER words_changed AFTER UPDATE ON events
    REFERENCING OLD TABLE AS gone NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION photoorg_words_of_events();
CREATE TRIGGER words_removed AFTER DELETE ON events REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION photoorg_words_of_events();

-- One function for what is said of photos, whether it stands in their own row or in one that links
-- a tag, a person or an album to them. It replaces two that were all but the same.
CREATE FUNCTION photoorg_texts_changed() RETURNS trigger LANGUAGE plpgsql AS $$
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
    ELSIF TG_TABLE_NAME = 'photos' THEN
        -- Most changes of a photo's row are of nothing that is said of it.
        SELECT array_agg(n.photo_id) INTO ids FROM fresh n JOIN gone o USING (tenant_id, photo_id)
        WHERE (n.title, n.caption, n.ocr_text, n.filename)
            IS DISTINCT FROM (o.title, o.caption, o.ocr_text, o.filename);
    ELSE
        SELECT array_agg(DISTINCT photo_id) INTO ids
            FROM (SELECT photo_id FROM fresh UNION SELECT photo_id FROM gone) both_;
    END IF;
    IF ids IS NOT NULL THEN
        PERFORM photoorg_refresh_texts(tenant, ids);
    END IF;
    RETURN NULL;
END $$;

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['photos', 'photo_tags', 'face_people', 'album_photos'] LOOP
        EXECUTE format('DROP TRIGGER texts_added ON %I', name);
        EXECUTE format('DROP TRIGGER texts_changed ON %I', name);
        EXECUTE format('CREATE TRIGGER texts_added AFTER INSERT ON %I REFERENCING NEW TABLE AS'
            ' fresh FOR EACH STATEMENT EXECUTE FUNCTION photoorg_texts_changed()', name);
        EXECUTE format('CREATE TRIGGER texts_changed AFTER UPDATE ON %I REFERENCING OLD TABLE AS'
            ' gone NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION'
            ' photoorg_texts_changed()', name);
        IF name <> 'photos' THEN
            EXECUTE format('DROP TRIGGER texts_removed ON %I', name);
            EXECUTE format('CREATE TRIGGER texts_removed AFTER DELETE ON %I REFERENCING OLD TABLE'
                ' AS gone FOR EACH STATEMENT EXECUTE FUNCTION photoorg_texts_changed()', name);
        END IF;
    END LOOP;
END $$;
DROP FUNCTION photoorg_texts_of_photos(), photoorg_texts_of_links();

-- Events that were there before. Only their own tenant's role may see them, so it does the work.
ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    app text := current_setting('photoorg.app_role');
    all_tenants text[] := ARRAY(SELECT tenant_id FROM tenants);
    tenant text;
BEGIN
    FOREACH tenant IN ARRAY all_tenants LOOP
        PERFORM set_config('photoorg.tenant', tenant, true), set_config('role', app, true);
        PERFORM photoorg_post_events(tenant, NULL, NULL, array_agg(event_id),
            array_agg(photoorg_said_of_event(title, place, trip_title))) FROM events;
    END LOOP;
    PERFORM set_config('role', 'none', true), set_config('photoorg.tenant', '', true);
END $$;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
