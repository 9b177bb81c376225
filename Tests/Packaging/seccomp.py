"""Runs a program under a seccomp filter, by libseccomp: `seccomp.py FILE COMMAND…`. FILE is a Docker profile (JSON), or names of calls, one a line, of which the others answer EPERM.

Names that libseccomp does not know for this machine are left out, as Docker and systemd do."""
import ctypes
import ctypes.util
import errno
import json
import os
import sys
from pathlib import Path

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
COMPARISONS = {"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}


class Argument(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def command(directory, names):
    file = Path(directory) / "calls"
    file.write_text("\n".join(sorted(names)))
    return [sys.executable, __file__, str(file)]


def action(name, number):
    return {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_ERRNO": ERRNO | number, "SCMP_ACT_KILL_PROCESS": KILL}[name]


def load(profile):
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Argument)]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    context = library.seccomp_init(ctypes.c_uint32(action(profile["defaultAction"], profile.get("defaultErrnoRet", errno.EPERM))))
    assert context, "seccomp_init"
    for rule in profile["syscalls"]:
        arguments = [Argument(a["index"], COMPARISONS[a["op"]], a["value"], a.get("valueTwo", 0)) for a in rule.get("args", [])]
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number < 0:
                continue
            code = library.seccomp_rule_add_array(
                context, action(rule["action"], rule.get("errnoRet", errno.EPERM)), number, len(arguments), (Argument * max(1, len(arguments)))(*arguments))
            # The default action again, which libseccomp takes for a mistake.
            assert code == 0 or -code == errno.EACCES, (name, code)
    code = library.seccomp_load(context)
    assert code == 0, f"seccomp_load: {os.strerror(-code)}"


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text()
    if text.lstrip().startswith("{"):
        profile = json.loads(text)
    else:
        profile = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.EPERM, "syscalls": [{"names": text.split(), "action": "SCMP_ACT_ALLOW"}]}
    load(profile)
    os.execvp(sys.argv[2], sys.argv[2:])
