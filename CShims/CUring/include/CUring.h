// liburing's inline functions and the constants that liburing 2.3 lacks. No policy.
#pragma once
#include <features.h>
#include <liburing.h>
