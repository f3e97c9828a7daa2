"""The process that is killed while it builds the index anew: it ends with 0 once the new generation is live."""

from __future__ import annotations

import sys
from pathlib import Path

from ingest import rebuild
from tests.factories.encoders import HalfEncoder
from tests.factories.installation import Installation


def main(data: str, delay: str) -> None:
    place = Installation(Path(data))
    place.runtime.stack._encoders[HalfEncoder.name] = HalfEncoder(float(delay))
    rebuild.CHUNKS_AT_ONCE = 4
    place.runtime.warm_up()
    print("ready", flush=True)
    live = rebuild.build(place.runtime.pipeline)
    place.close()
    raise SystemExit(0 if live is not None else "it did not go live")


if __name__ == "__main__":
    main(*sys.argv[1:])
