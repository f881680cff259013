/* Memory for libevent, which has a reserve of its own. libevent 2.1 frees a TLS bufferevent that could be made only in part
 * as if it were whole, which ends the process: so what it asks for in small pieces must fail last. */
#pragma once

/* Before the first other call of libevent's; once. */
void event_memory_install(void);
