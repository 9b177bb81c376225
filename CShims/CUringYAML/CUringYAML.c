#include "CUringYAML.h"
