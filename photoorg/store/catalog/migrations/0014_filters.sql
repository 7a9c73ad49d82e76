-- Ways to the photos of a filter that pass over the wide rows of the table: times, places, and what
-- else a search is narrowed by. Rows no search may find are not in them.

CREATE INDEX photos_found_taken ON photos (tenant_id, captured_at, photo_id)
    INCLUDE (captured_offset_minutes)
    WHERE trashed_at IS NULL AND status IN ('ready', 'partial');
CREATE INDEX photos_found_place ON photos (tenant_id, latitude, longitude, photo_id)
    WHERE trashed_at IS NULL AND status IN ('ready', 'partial') AND latitude IS NOT NULL;
CREATE INDEX photos_found_facts ON photos (tenant_id, photo_id)
    INCLUDE (quality, nsfw, favourite, archived_at, mime, make, model, captured_at,
        captured_offset_minutes, latitude, longitude)
    WHERE trashed_at IS NULL AND status IN ('ready', 'partial');

-- The photos of a tag or a person, in the order of the photos, without a look at the links.
CREATE INDEX photo_tags_photos ON photo_tags (tenant_id, tag_id, photo_id);
DROP INDEX photo_tags_tag;
CREATE INDEX face_people_photos ON face_people (tenant_id, person_id, photo_id);
DROP INDEX face_people_person;
