/* Where OpenSSL's large buffers come from. A handshake needs five of 4 to 21 KiB for a moment, and a busy session one or two
 * whenever it reads or writes. Out of the heap they leave holes between the small things that stay, which cost an idle TLS
 * session half as much again as it uses. So they come from a place of their own. */
#pragma once

/* To be called once, before anything else of OpenSSL's. When it can't be done, OpenSSL goes on with the heap. */
void tls_buffers_install(void);
