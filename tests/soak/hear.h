/* What the gateway says: answers, and frames behind a 101. */
#pragma once

#include "client.h"

/* Understands as much as it can of the bytes that were added. False: the gateway sent what it must never send. */
bool hear(struct heard *heard);
