/*
 * Broken policies and what is said about them, word for word with line and column: every
 * key of the language has at least one.  If this fails, a message changed or a mistake is
 * no longer found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config_cases.h"

#include "continuo/hash.h"
