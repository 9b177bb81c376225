// libnghttp2, the oracle of tests: nothing under Sources/ may use it. <features.h> first: the Glibc module must see the same fd_set.
#pragma once
#include <features.h>
#include <nghttp2/nghttp2.h>
