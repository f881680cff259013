/* The modules of the system's name service, as far as names of hosts, users and groups are concerned. */
#pragma once

/* Loads the modules that /etc/nsswitch.conf names for hosts, users and groups, and looks a name of each up, so that no look-up
 * has to map code later: that is forbidden once the sandbox is sealed. Asks nobody but the hosts file, as a rule. What can't be
 * loaded is passed over; look-ups pass it over, too. What the file names later is not looked at, as far as the library lets one
 * have that. */
void nss_prepare(void);
