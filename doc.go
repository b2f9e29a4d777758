// Package sane is a GitOps controller for Kubernetes.
package sane
