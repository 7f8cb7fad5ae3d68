// All images for several architectures: `docker buildx bake` (after scripts/wheels for each; docs/install.md, Images).
// The same targets as the Dockerfile's; tests/integration/test_bake.py compares.
variable "TAG" { default = "0.1.0" }
variable "REVISION" { default = "unknown" }
variable "REGISTRY" { default = "" }
variable "PYTHON" { default = "python:3.13-slim-bookworm" }
// Seconds since 1970 that file times and the image's date are set to: the commit's, so that a build can be repeated.
variable "SOURCE_DATE_EPOCH" { default = "0" }

group "default" {
  targets = ["init", "proxy", "control-plane", "admission-controller", "sample-app"]
}

target "common" {
  platforms = ["linux/amd64", "linux/arm64"]
  args = {
    PYTHON            = PYTHON
    VERSION           = TAG
    REVISION          = REVISION
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
  }
}

target "init" {
  inherits = ["common"]
  target   = "init"
  tags     = ["${REGISTRY}tulle/init:${TAG}"]
}

target "proxy" {
  inherits = ["common"]
  target   = "proxy"
  tags     = ["${REGISTRY}tulle/proxy:${TAG}"]
}

target "control-plane" {
  inherits = ["common"]
  target   = "control-plane"
  tags     = ["${REGISTRY}tulle/control-plane:${TAG}"]
}

target "admission-controller" {
  inherits = ["common"]
  target   = "admission-controller"
  tags     = ["${REGISTRY}tulle/admission-controller:${TAG}"]
}

target "sample-app" {
  inherits = ["common"]
  target   = "sample-app"
  tags     = ["${REGISTRY}tulle/sample-app:${TAG}"]
}

target "lab" {
  inherits = ["common"]
  target   = "lab"
  tags     = ["${REGISTRY}tulle/lab:${TAG}"]
}
