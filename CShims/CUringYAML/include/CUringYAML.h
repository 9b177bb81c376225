// libyaml's event parser. No policy.
#pragma once
#include <features.h>
#include <yaml.h>
