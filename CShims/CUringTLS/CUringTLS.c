#include "CUringTLS.h"
