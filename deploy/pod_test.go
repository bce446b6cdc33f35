package deploy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kube-router/internal/config"
)

// checkPod checks what Kubernetes itself would find only when the pod starts, and what we promise: no
// privileged container, no more of the host than is needed, one node at a time.
func (m *manifest) checkPod(t *testing.T, o *config.Options) {
	t.Helper()
	d := m.daemon
	if d.Spec.Selector.MatchLabels["k8s-app"] != "kube-router" || !subset(d.Spec.Selector.MatchLabels, d.Spec.Template.Labels) {
		t.Errorf("selector %v, labels %v", d.Spec.Selector.MatchLabels, d.Spec.Template.Labels)
	}
	if u := d.Spec.UpdateStrategy.RollingUpdate; u == nil || *u.MaxUnavailable != intstr.FromInt32(1) || *u.MaxSurge != intstr.FromInt32(0) {
		t.Errorf("update strategy %+v: two daemons can't share a node's ports", d.Spec.UpdateStrategy)
	}
	pod := d.Spec.Template.Spec
	if !pod.HostNetwork || pod.HostPID || pod.HostIPC || pod.ServiceAccountName != "kube-router" || pod.PriorityClassName != "system-node-critical" {
		t.Errorf("pod %+v", pod)
	}
	if s := pod.SecurityContext; s == nil || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Error("no seccomp profile")
	}
	checkVolumes(t, pod)
	main := pod.Containers[0]
	checkProbes(t, main, o)
	want := []corev1.Capability{"DAC_OVERRIDE", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW"}
	if strings.HasSuffix(o.Settings.Services.RuntimeEndpoint, "containerd.sock") {
		want = append(want, "SYS_ADMIN")
	}
	if o.Settings.Socket.Mode != "off" {
		want = append([]corev1.Capability{"BPF"}, want...)
	}
	checkConfined(t, main, want)
	for _, c := range pod.InitContainers {
		checkConfined(t, c, []corev1.Capability{"DAC_OVERRIDE"})
		if c.Image != main.Image || slices.Contains(c.Command, "/bin/sh") {
			t.Errorf("%s needs an image of its own or a shell: %q", c.Name, c.Command)
		}
	}
	if network := o.Settings.Router && o.Settings.CNI.Enabled; network != (len(pod.InitContainers) == 1) {
		t.Errorf("CNI plugins placed: %d init containers; the daemon writes the CNI file: %v", len(pod.InitContainers), network)
	}
}

func subset(a, b map[string]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func checkConfined(t *testing.T, c corev1.Container, want []corev1.Capability) {
	t.Helper()
	s := c.SecurityContext
	if s.Privileged != nil && *s.Privileged || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem {
		t.Errorf("%s: %+v", c.Name, s)
	}
	if d := cmp.Diff(&corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: want}, s.Capabilities); d != "" {
		t.Errorf("%s: capabilities:\n%s", c.Name, d)
	}
}

func checkProbes(t *testing.T, c corev1.Container, o *config.Options) {
	t.Helper()
	for path, p := range map[string][]*corev1.Probe{"/healthz": {c.StartupProbe, c.LivenessProbe}, "/readyz": {c.ReadinessProbe}} {
		for _, p := range p {
			if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path || ":"+p.HTTPGet.Port.String() != o.Health {
				t.Errorf("probe %+v; the daemon answers %s at %s", p, path, o.Health)
			}
		}
	}
	if first := c.StartupProbe.PeriodSeconds * c.StartupProbe.FailureThreshold; float64(first) <= o.CacheSyncTimeout.Seconds() {
		t.Errorf("the startup probe gives up after %d s, before the daemon does (%s)", first, o.CacheSyncTimeout)
	}
}

// checkVolumes: every mount has its volume and every volume its mount, and what the daemon was told to use
// lies in one.
func checkVolumes(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	unused := map[string]bool{}
	for _, v := range pod.Volumes {
		unused[v.Name] = true
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, m := range c.VolumeMounts {
			if _, ok := unused[m.Name]; !ok {
				t.Errorf("%s mounts %s, which is no volume", c.Name, m.Name)
			}
			unused[m.Name] = false
		}
	}
	for name, yes := range unused {
		if yes {
			t.Errorf("volume %s is mounted nowhere", name)
		}
	}
	for _, path := range needed(pod.Containers[0]) {
		if !slices.ContainsFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasPrefix(path, m.MountPath+"/") }) {
			t.Errorf("%s lies in no volume", path)
		}
	}
}

// needed are the host's files that a container's arguments and environment name.
func needed(c corev1.Container) []string {
	all := []string{config.DefaultControlSocket, config.DefaultCNISocket}
	for _, a := range c.Args {
		if _, path, ok := strings.Cut(a, "=/"); ok {
			all = append(all, "/"+path)
		}
		if _, path, ok := strings.Cut(a, "unix://"); ok {
			all = append(all, path)
		}
	}
	for _, e := range c.Env {
		switch e.Name {
		case "KUBE_ROUTER_CNI_CONF_FILE":
			all = append(all, e.Value)
		case "KUBE_ROUTER_PROC_SYS":
			all = append(all, e.Value+"/net/ipv4/ip_forward")
		}
	}
	return all
}
