"""Training a space on a real local cluster, from stored photos to an encoder that opens."""

import pytest

from photoorg.encoders.spaces import open_encoder
from photoorg.errors import InputError
from tests.pictures import library
from tests.ray.test_ingest import configured

pytestmark = [pytest.mark.ray, pytest.mark.postgres]


def test_a_library_teaches_a_space_of_its_own(tmp_path, catalog_url):
    from pipelines import ingest, train_projection

    config = configured(tmp_path, catalog_url)
    config = config.model_copy(
        update={
            "models_dir": str(tmp_path / "models"),
            "train": config.train.model_copy(update={"epochs": 3, "hidden": 16, "batch": 16}),
        }
    )
    with pytest.raises(InputError, match="no photos"):
        train_projection.run(config, name="mine")
    ingest.run(config, [str(library(tmp_path / "in", 40))])
    told = train_projection.run(config, name="mine")
    assert told["photos"] == 40 and told["held_out"] >= 8
    assert told["ndcg_at_10_after"] >= told["ndcg_at_10_before"]
    encoder = config.encoder.model_copy(update={"space": told["file"]})
    assert open_encoder(encoder, config.models_dir).space.id == told["space"] != told["base"]
    with pytest.raises(InputError, match="already"):
        train_projection.run(config, name="mine")
