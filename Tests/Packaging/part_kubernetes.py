"""Manifests without a cluster: read as YAML, put together by kustomize where kubectl is there, and their names compared with each other and with uringd's own configuration."""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from support import PACKAGING, URINGD, judge, need, run, skip, tool

HERE = PACKAGING / "kubernetes"
PLACES = {"ConfigMap": "v1", "Secret": "v1", "Service": "v1", "Deployment": "apps/v1", "NetworkPolicy": "networking.k8s.io/v1", "HorizontalPodAutoscaler": "autoscaling/v2",
          "PodDisruptionBudget": "policy/v1", "ServiceMonitor": "monitoring.coreos.com/v1"}


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text).group(1))


def main():
    try:
        import yaml
    except ImportError:
        need("python3-yaml")
        import yaml
    objects = [o for file in ("uringd.yaml", "servicemonitor.yaml") for o in yaml.safe_load_all((HERE / file).read_text())]
    judge("kinds and their versions", all(PLACES.get(o["kind"]) == o["apiVersion"] for o in objects), [(o["kind"], o["apiVersion"]) for o in objects])
    of = lambda kind, name="uringd": next(o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name)
    deployment, configuration = of("Deployment")["spec"], yaml.safe_load(of("ConfigMap")["data"]["uringd.yaml"])
    pod, labels = deployment["template"]["spec"], deployment["template"]["metadata"]["labels"]
    container = pod["containers"][0]

    # Selectors find the pods.
    selectors = [deployment["selector"]["matchLabels"], of("Service")["spec"]["selector"], of("Service", "uringd-admin")["spec"]["selector"],
                 of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"], of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
    judge("selectors are the pods' labels", all(s and s.items() <= labels.items() for s in selectors), selectors)
    monitored = of("ServiceMonitor")["spec"]
    judge("the monitor finds the service and its port", monitored["selector"]["matchLabels"].items() <= of("Service", "uringd-admin")["metadata"]["labels"].items()
          and {e["port"] for e in monitored["endpoints"]} <= {p["name"] for p in of("Service", "uringd-admin")["spec"]["ports"]})
    judge("the autoscaler and the budget fit", of("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "uringd"
          and of("HorizontalPodAutoscaler")["spec"]["minReplicas"] > of("PodDisruptionBudget")["spec"]["minAvailable"])

    # Ports are named once and used everywhere.
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    used = {p["targetPort"] for name in ("uringd", "uringd-admin") for p in of("Service", name)["spec"]["ports"]}
    used |= {container[p]["httpGet"]["port"] for p in ("startupProbe", "readinessProbe", "livenessProbe")} | {p["port"] for rule in of("NetworkPolicy")["spec"]["ingress"] for p in rule["ports"]}
    judge("ports have names", used == set(ports), used)
    listened = {int(entry["address"].rsplit(":")[-1]) for entry in configuration["listen"]} | {int(configuration["admin"]["address"].rsplit(":")[-1])}
    judge("uringd listens on them", listened == set(ports.values()), listened)
    scraped = deployment["template"]["metadata"]["annotations"]
    judge("Prometheus' annotations are the administration's", int(scraped["prometheus.io/port"]) == ports["admin"] and scraped["prometheus.io/path"] == "/metrics")
    judge("probes ask what the administration answers", {container[p]["httpGet"]["path"] for p in ("startupProbe", "readinessProbe", "livenessProbe")} == {"/readyz", "/livez"})

    # The end: preStop and the drain fit into the time that the kubelet gives.
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = seconds(configuration["timeouts"]["drain"])
    judge("preStop and the drain end before the kubelet does", pause + drain < pod["terminationGracePeriodSeconds"], (pause, drain))
    judge("preStop outlasts the readiness probe", pause > container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"])

    # Mounts and volumes, secrets and paths.
    volumes, mounts = {v["name"]: v for v in pod["volumes"]}, {m["name"]: m for m in container["volumeMounts"]}
    judge("volumes are mounted", set(volumes) == set(mounts))
    judge("the tickets' secret is there", volumes["tickets"]["secret"]["secretName"] == of("Secret", "uringd-tickets")["metadata"]["name"])
    security = container["securityContext"] | pod["securityContext"]
    judge("no privileges", security["runAsNonRoot"] and security["runAsUser"] > 0 and security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
          and security["capabilities"] == {"drop": ["ALL"]} and security["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost"))

    # uringd judges its own file, with files where the pod would have them.
    with tempfile.TemporaryDirectory() as directory:
        text = of("ConfigMap")["data"]["uringd.yaml"]
        tls, tickets = Path(directory, "tls"), Path(directory, "tickets")
        tls.mkdir(), tickets.mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a", "-keyout", tls / "tls.key", "-out", tls / "tls.crt"],
                       check=True, capture_output=True)
        # As the kubelet mounts them: readable by the group.
        (tls / "tls.key").chmod(0o440)
        (tickets / "secret").write_text(of("Secret", "uringd-tickets")["stringData"]["secret"])
        (tickets / "secret").chmod(0o440)
        text = text.replace("/etc/uringd-tls", str(tls)).replace("/etc/uringd-tickets", str(tickets))
        file = Path(directory, "uringd.yaml")
        file.write_text(text)
        checked = run(URINGD, "check", "--config", file)
        judge("uringd check of the ConfigMap", checked.returncode == 0 and "warning" not in checked.stdout + checked.stderr, checked.stdout + checked.stderr)

    validate = tool("kubernetes-validate", "kubernetes-validate==1.37.0")
    if validate:
        said = run(validate, "--strict", HERE / "uringd.yaml")
        judge("kubernetes-validate --strict", said.returncode == 0, said.stdout + said.stderr)
        with tempfile.TemporaryDirectory() as directory:
            wrong = Path(directory, "wrong.yaml")
            wrong.write_text((HERE / "uringd.yaml").read_text().replace("readOnlyRootFilesystem", "readonlyRootFilesystem"))
            judge("which notices a wrong key", run(validate, "--strict", wrong).returncode != 0)
    else:
        skip("kubernetes-validate: it cannot be installed")

    if shutil.which("kubectl"):
        built = run("kubectl", "kustomize", HERE)
        kinds = [o["kind"] for o in yaml.safe_load_all(built.stdout)] if built.returncode == 0 else []
        judge("kubectl kustomize", sorted(kinds) == sorted(o["kind"] for o in objects if o["kind"] != "ServiceMonitor"), built.stderr)
    else:
        skip("kustomize: kubectl is not installed")
