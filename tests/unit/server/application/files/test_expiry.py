from datetime import timedelta

from corral.domain.errors import Unavailable
from corral.server.application.files.expiry import KEPT, UploadExpiry


class Swept:
    def __init__(self, error=None):
        self.before, self.error = [], error

    async def sweep(self, *, before):
        self.before.append(before)
        if self.error is not None:
            raise self.error
        return 1


async def test_only_the_lease_holder_sweeps_the_engine_and_only_what_is_a_day_old(files):
    for leads in (False, True):
        staging, blobs = Swept(), Swept()
        await UploadExpiry(staging=staging, blobs=blobs, leads=lambda leads=leads: leads, clock=files.clock).sweep()
        assert staging.before == [files.clock.now() - KEPT]
        assert blobs.before == ([files.clock.now() - timedelta(days=1)] if leads else [])


async def test_an_engine_that_is_away_ends_nothing(files, caplog):
    blobs = Swept(Unavailable("cannot sweep: the engine is away"))
    await UploadExpiry(staging=Swept(), blobs=blobs, leads=lambda: True, clock=files.clock).sweep()
    assert "the engine is away" in caplog.text
