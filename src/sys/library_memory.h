/* Memory for libraries: OpenSSL's large buffers have a place of their own, and libevent has a reserve. */
#pragma once

/* A handshake needs five buffers of 4 to 21 KiB for a moment, and a busy session one or two whenever it reads or writes. Out of
 * the heap they leave holes between the small things that stay, which cost an idle TLS session half as much again as it uses.
 * To be called once, before anything else of OpenSSL's. When it can't be done, OpenSSL goes on with the heap. */
void library_memory_for_openssl(void);

/* libevent 2.1 frees a TLS bufferevent that could be made only in part as if it were whole, which ends the process: so what it
 * asks for in small pieces must fail last. Before the first other call of libevent's; once. */
void library_memory_for_libevent(void);
