package takeover

import "testing"

func TestWhose(t *testing.T) {
	for _, c := range []struct {
		of         func(string) string
		name, want string
	}{
		{chainOf, "KUBE-SERVICES", kubeProxy},
		{chainOf, "KUBE-SVC-TCOU7JCQXEZGVUNU", kubeProxy},
		{chainOf, "KUBE-SEP-ABCDEFGH23456723", kubeProxy},
		{chainOf, "KUBE-SVC-mine", ""},
		{chainOf, "KUBE-SVC-TCOU7JCQXEZGVUNUX", ""},
		{chainOf, "KUBE-SVC-TCOU7JCQXEZGVUN8", ""},
		{chainOf, "KUBE-SERVICES-MINE", ""},
		{chainOf, "KUBE-FIREWALL", ""},
		{chainOf, "KUBE-KUBELET-CANARY", ""},
		{chainOf, "KUBE-MARK-DROP", ""},
		{chainOf, "KUBE-ROUTER-INPUT", kubeRouter},
		{chainOf, "KUBE-POD-FW-5XQ2CPX5XY2XNPPM", kubeRouter},
		{chainOf, "KUBE-NWPLCY-DEFAULT", kubeRouter},
		{chainOf, "KUBE-NWPLCY-5XQ2CPX5XY2XNPPM", kubeRouter},
		{chainOf, "FORWARD", ""},
		{setOf, "kube-router-pod-subnets", kubeRouter},
		{setOf, "inet6:kube-router-svip-prt", kubeRouter},
		{setOf, "KUBE-SRC-5XQ2CPX5XY2XNPPM", kubeRouter},
		{setOf, "inet6:KUBE-DST-5XQ2CPX5XY2XNPPM", kubeRouter},
		{setOf, "kube-router-mine", ""},
		{setOf, "KUBE-CLUSTER-IP", kubeProxy},
		{setOf, "KUBE-6-CLUSTER-IP", kubeProxy},
		{setOf, "KUBE-MINE", ""},
	} {
		if have := c.of(c.name); have != c.want {
			t.Errorf("%s: want %q, have %q", c.name, c.want, have)
		}
	}
	if tableOf("kube-router-filter-ipv4", true) != "" || tableOf("kube-router-filter-ipv6", true) != kubeRouter ||
		tableOf("kube-router", false) != "" || tableOf("kube-proxy", false) != kubeProxy {
		t.Error("tables")
	}
}
