"""One OpenStack Swift with the S3 API in one process: run by the test server's own interpreter.

Usage: python swift_server.py FOLDER [PORT]; prints the endpoint as one line of JSON, then serves.
What a server left in the folder is there again.
"""

import eventlet

eventlet.monkey_patch()

import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from eventlet import wsgi  # noqa: E402

STORAGE = ("account", "container", "object")
PARTITION_POWER = 4
PAGE = 100  # a tenth of what S3 gives at once, so that tests see several pages soon

SWIFT_CONF = """
[swift-hash]
swift_hash_path_prefix = photoorg
swift_hash_path_suffix = tests

[storage-policy:0]
name = only
default = yes

[swift-constraints]
max_file_size = 5368709122
"""

STORAGE_CONF = """
[DEFAULT]
devices = {folder}/devices
mount_check = false
swift_dir = {folder}
workers = 0
log_level = ERROR

[pipeline:main]
pipeline = {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}
replication_server = false
"""

PIPELINE = (
    "catch_errors proxy-logging bulk s3api tempauth slo dlo symlink versioned_writes proxy-server"
)
PROXY_CONF = """
[DEFAULT]
swift_dir = {folder}
workers = 0
log_level = ERROR

[pipeline:main]
pipeline = {pipeline}

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:proxy-logging]
use = egg:swift#proxy_logging

[filter:bulk]
use = egg:swift#bulk

[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
max_bucket_listing = {page}

[filter:tempauth]
use = egg:swift#tempauth
user_test_owner = {secret} .admin
user_test_stranger = {secret}

[filter:slo]
use = egg:swift#slo

[filter:dlo]
use = egg:swift#dlo

[filter:symlink]
use = egg:swift#symlink

[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""


def main(folder: Path, port: int = 0) -> None:
    """Write rings and settings, then serve account, container, object and proxy on loopback."""
    parent = os.getppid()
    (folder / "devices" / "d1").mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text(SWIFT_CONF)
    os.environ["SWIFT_CONF_FILE"] = str(folder / "swift.conf")
    from swift.common import utils

    utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    utils.validate_hash_conf()
    listeners = {kind: eventlet.listen(("127.0.0.1", 0)) for kind in STORAGE}
    for kind, listener in listeners.items():
        _write_ring(folder, kind, listener.getsockname()[1])
        (folder / f"{kind}.conf").write_text(STORAGE_CONF.format(folder=folder, kind=kind))
    (folder / "proxy.conf").write_text(
        PROXY_CONF.format(
            folder=folder, pipeline=PIPELINE, page=PAGE, secret=os.environ["SWIFT_SECRET"]
        )
    )
    listeners["proxy"] = eventlet.listen(("127.0.0.1", port))
    for kind, listener in listeners.items():
        _serve(folder / f"{kind}.conf", listener)
    port = listeners["proxy"].getsockname()[1]
    sys.stdout.write(json.dumps({"endpoint": f"http://127.0.0.1:{port}"}) + "\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        eventlet.sleep(1)


def _write_ring(folder: Path, kind: str, port: int) -> None:
    from swift.common.ring import RingBuilder

    builder = RingBuilder(PARTITION_POWER, 1, 1)
    builder.add_dev(
        {
            "region": 1,
            "zone": 1,
            "ip": "127.0.0.1",
            "port": port,
            "replication_ip": "127.0.0.1",
            "replication_port": port,
            "device": "d1",
            "weight": 1.0,
            "meta": "",
        }
    )
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{kind}.ring.gz"))


def _serve(conf: Path, listener: object) -> None:
    from swift.common.wsgi import SwiftHttpProtocol, loadapp

    app = loadapp(str(conf), global_conf={"log_name": conf.stem})
    eventlet.spawn(
        wsgi.server,
        listener,
        app,
        logging.getLogger("swift.access"),
        log_output=False,
        protocol=SwiftHttpProtocol,
        socket_timeout=60,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
