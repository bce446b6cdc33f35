package config

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"kube-router/internal/model"
)

// domain parses a DNS domain; a dot at its end and the case mean nothing.
func domain(s string) (string, error) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if len(s) > 253 || !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$`).MatchString(s) {
		return "", errors.New("not a DNS domain such as cluster.local")
	}
	return s, nil
}

// resolvers reads whose DNS answers count: addresses and Services. Empty is nobody beside the cluster's DNS.
func resolvers(d *draft, texts []string) (list []bad) {
	s := &d.Settings.Policy.Names
	s.Resolvers, s.Services = nil, nil
	for _, text := range texts {
		for one := range strings.SplitSeq(text, ",") {
			namespace, name, isName := strings.Cut(strings.TrimSpace(one), "/")
			switch a, err := address(one); {
			case strings.TrimSpace(one) == "":
			case err == nil && !a.IsUnspecified() && !a.IsMulticast():
				s.Resolvers = append(s.Resolvers, a)
			case isName && label(namespace) && label(name):
				s.Services = append(s.Services, model.Name{Namespace: namespace, Name: name})
			default:
				list = append(list, bad{one, errors.New("neither the address of a resolver nor a Service as namespace/name")})
			}
		}
	}
	slices.SortFunc(s.Services, model.Name.Compare)
	return list
}

// label tells whether a text is a DNS label (RFC 1123), as namespaces and Services are called.
func label(s string) bool {
	return regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`).MatchString(s)
}
