package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"

	"kube-router/internal/convert"
	"kube-router/internal/watch/kube"
)

func convertCommand() *cobra.Command {
	var files []string
	var kubeconfig string
	cmd := &cobra.Command{
		Use: "convert", Short: "Write objects for MetalLB's objects, or for kube-router's flags and annotations", Args: cobra.NoArgs,
		Long: `Write the AddressPools, L2Advertisements, BGPPeers and BGPAdvertisements that say what others say: MetalLB's objects
(IPAddressPool, L2Advertisement, BGPPeer, BGPAdvertisement, Community, BFDProfile), the flags of kube-router's DaemonSet,
and annotations of Nodes. They are read from files or, with --kubeconfig, from a cluster; nothing is changed there.
What has no counterpart stands in the result as a comment. Passwords are not written.`,
	}
	cmd.Flags().StringSliceVarP(&files, "file", "f", nil, "files of YAML documents to read; - is the standard input")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "read from the cluster of this file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := sources(cmd, files, kubeconfig)
		if err != nil {
			return err
		}
		text, err := convert.Manifest(list)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

// sources are the objects of files and of a cluster.
func sources(cmd *cobra.Command, files []string, kubeconfig string) ([]convert.Source, error) {
	if len(files) == 0 && kubeconfig == "" {
		return nil, fmt.Errorf("nothing to read: give files (-f) or --kubeconfig")
	}
	var all []convert.Source
	for _, name := range files {
		if name == "-" {
			name = "/dev/stdin"
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list, err := convert.Read(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, list...)
	}
	if kubeconfig == "" {
		return all, nil
	}
	list, err := clusterSources(cmd.Context(), kubeconfig)
	return append(all, list...), err
}

// clusterSources reads what there is of a cluster. Kinds that aren't installed are none.
func clusterSources(ctx context.Context, kubeconfig string) ([]convert.Source, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := kube.Config(kubeconfig, "", "kube-router-convert")
	if err != nil {
		return nil, err
	}
	c.ContentType = ""
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, err
	}
	var all []convert.Source
	for _, path := range []string{
		"/apis/metallb.io/v1beta1/ipaddresspools", "/apis/metallb.io/v1beta1/l2advertisements", "/apis/metallb.io/v1beta2/bgppeers", "/apis/metallb.io/v1beta1/bgpadvertisements",
		"/apis/metallb.io/v1beta1/communities", "/apis/metallb.io/v1beta1/bfdprofiles", "/api/v1/nodes", "/apis/apps/v1/daemonsets",
	} {
		raw, err := client.RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json").Do(ctx).Raw()
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path[strings.LastIndex(path, "/")+1:], err)
		}
		list, err := convert.Read(raw)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		all = append(all, list...)
	}
	return all, nil
}
