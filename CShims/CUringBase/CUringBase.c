#include "CUringBase.h"
