/* fuzz_session_tls.c owns the fuzzing of a whole session whose client, and target if the input says so, speak TLS.
 * It must never wait, nor do anything that another run of the same input would do otherwise. */
#include "check.h"
#include "session/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 5 && size <= 4096)
		world_run(data, size, true);
	return 0;
}
