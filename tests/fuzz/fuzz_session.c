/* fuzz_session.c owns the fuzzing of a whole plain session: worker, request, dial, relay and end, between a client and
 * a target that do what the input says, on a kernel and a clock that do so too. See session/world.h. It must never
 * wait, nor do anything that another run of the same input would do otherwise. */
#include "check.h"
#include "session/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 5 && size <= 4096)
		world_run(data, size, false);
	return 0;
}
