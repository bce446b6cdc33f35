package apiserver

import (
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
)

// kinds is the table of everything that is served. A new kind is one more line.
func kinds() []*kind {
	all := append(coreKinds(), groupKinds()...)
	for _, k := range all {
		if k.validateName == nil {
			k.validateName = apivalidation.NameIsDNSSubdomain
		}
		if k.columns == nil {
			k.columns = plainColumns()
		}
	}
	return all
}

func coreKinds() []*kind {
	return []*kind{
		{version: "v1", resource: "namespaces", kind: "Namespace", create: of[corev1.Namespace], short: []string{"ns"}, hasStatus: true,
			validateName: apivalidation.ValidateNamespaceName, defaults: defaultNamespace, columns: namespaceColumns()},
		{version: "v1", resource: "nodes", kind: "Node", create: of[corev1.Node], short: []string{"no"}, hasStatus: true, statusOnCreate: true,
			fields: []string{"spec.unschedulable=false"}, defaults: defaultNode, validate: validateNode, columns: nodeColumns()},
		{version: "v1", resource: "pods", kind: "Pod", create: of[corev1.Pod], short: []string{"po"}, namespaced: true, inAll: true, hasStatus: true, generation: true,
			fields:   []string{"spec.nodeName", "status.phase", "status.podIP", "spec.hostNetwork=false", "spec.schedulerName", "spec.serviceAccountName", "spec.restartPolicy", "status.nominatedNodeName"},
			defaults: defaultPod, validate: validatePod, columns: podColumns()},
		{version: "v1", resource: "services", kind: "Service", create: of[corev1.Service], short: []string{"svc"}, namespaced: true, inAll: true, hasStatus: true,
			fields: []string{"spec.clusterIP", "spec.type"}, validateName: apivalidation.NameIsDNS1035Label, defaults: defaultService, validate: validateService, columns: serviceColumns()},
		{version: "v1", resource: "configmaps", kind: "ConfigMap", create: of[corev1.ConfigMap], short: []string{"cm"}, namespaced: true, columns: configMapColumns()},
		{version: "v1", resource: "secrets", kind: "Secret", create: of[corev1.Secret], namespaced: true, fields: []string{"type"}, defaults: defaultSecret, columns: secretColumns()},
		{version: "v1", resource: "serviceaccounts", kind: "ServiceAccount", create: of[corev1.ServiceAccount], short: []string{"sa"}, namespaced: true},
		{version: "v1", resource: "events", kind: "Event", create: of[corev1.Event], short: []string{"ev"}, namespaced: true, fields: eventFields(), columns: eventColumns()},
	}
}

func groupKinds() []*kind {
	return []*kind{
		definitionKind(),
		{group: "apps", version: "v1", resource: "deployments", kind: "Deployment", create: of[appsv1.Deployment], short: []string{"deploy"}, namespaced: true, inAll: true,
			hasStatus: true, scale: true, generation: true, defaults: defaultDeployment, validate: validateDeployment, columns: deploymentColumns()},
		{group: "apps", version: "v1", resource: "daemonsets", kind: "DaemonSet", create: of[appsv1.DaemonSet], short: []string{"ds"}, namespaced: true, inAll: true,
			hasStatus: true, generation: true, defaults: defaultDaemonSet, validate: validateDaemonSet, columns: daemonSetColumns()},
		{group: "apps", version: "v1", resource: "replicasets", kind: "ReplicaSet", create: of[appsv1.ReplicaSet], short: []string{"rs"}, namespaced: true, inAll: true,
			hasStatus: true, scale: true, generation: true, defaults: defaultReplicaSet, columns: replicaSetColumns()},
		{group: "coordination.k8s.io", version: "v1", resource: "leases", kind: "Lease", create: of[coordinationv1.Lease], namespaced: true, columns: leaseColumns()},
		{group: "discovery.k8s.io", version: "v1", resource: "endpointslices", kind: "EndpointSlice", create: of[discoveryv1.EndpointSlice], namespaced: true, generation: true,
			defaults: defaultSlice, validate: validateSlice, columns: sliceColumns()},
		{group: "events.k8s.io", version: "v1", resource: "events", kind: "Event", create: of[eventsv1.Event], short: []string{"ev"}, namespaced: true, view: eventView()},
		{group: "networking.k8s.io", version: "v1", resource: "networkpolicies", kind: "NetworkPolicy", create: of[networkingv1.NetworkPolicy], short: []string{"netpol"}, namespaced: true,
			generation: true, defaults: defaultPolicy, validate: validatePolicy, columns: policyColumns()},
		{group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles", kind: "ClusterRole", create: of[rbacv1.ClusterRole], validateName: pathSegment},
		{group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterrolebindings", kind: "ClusterRoleBinding", create: of[rbacv1.ClusterRoleBinding], validateName: pathSegment},
	}
}

// pathSegment is the rule for RBAC names, which may hold colons.
func pathSegment(name string, _ bool) []string {
	if name == "" || name == "." || name == ".." || len(name) > validation.DNS1123SubdomainMaxLength {
		return []string{"must be one path segment"}
	}
	return nil
}

func eventFields() []string {
	fields := []string{"reason", "type", "reportingComponent"}
	for _, f := range []string{"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"} {
		fields = append(fields, "involvedObject."+f)
	}
	return fields
}

// eventView: core and events.k8s.io Events are the same objects under two spellings (KEP-383).
func eventView() *view {
	return &view{of: "events", stored: map[string]string{
		"regarding":                "involvedObject",
		"note":                     "message",
		"reportingController":      "reportingComponent",
		"deprecatedSource":         "source",
		"deprecatedFirstTimestamp": "firstTimestamp",
		"deprecatedLastTimestamp":  "lastTimestamp",
		"deprecatedCount":          "count",
	}}
}
