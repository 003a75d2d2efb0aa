# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoint_url:
    description:
      - URL of the store, like V(https://s3.example.com:9000). If not set, AWS in O(region).
      - If not set, taken from E(AWS_URL), E(AWS_ENDPOINT_URL_S3), E(AWS_ENDPOINT_URL) on the managed host.
      - Without them, taken from the AWS configuration. Other settings of botocore's S3 client, there or in the
        environment, are honored as well, such as C(AWS_USE_FIPS_ENDPOINT) and the settings below C(s3).
    type: str
    aliases: [aws_endpoint_url]
  access_key:
    description:
      - Access key ID. It requires O(secret_key), and cannot be combined with O(profile), also where one of them comes
        from the environment.
      - If not set, taken from E(AWS_ACCESS_KEY_ID), E(AWS_ACCESS_KEY) on the managed host.
    type: str
    aliases: [aws_access_key_id, aws_access_key]
  secret_key:
    description:
      - Secret access key. Do not pass it on the command line of C(ansible -a), because Ansible repeats its arguments in
        errors.
      - If not set, taken from E(AWS_SECRET_ACCESS_KEY), E(AWS_SECRET_KEY) on the managed host.
    type: str
    aliases: [aws_secret_access_key, aws_secret_key]
  session_token:
    description:
      - Session token of temporary credentials.
      - If not set, taken from E(AWS_SESSION_TOKEN) on the managed host.
    type: str
    aliases: [aws_session_token]
  profile:
    description:
      - Named profile of the AWS configuration. Without keys and profile, botocore searches its usual sources.
      - If not set, taken from E(AWS_PROFILE), E(AWS_DEFAULT_PROFILE) on the managed host.
    type: str
    aliases: [aws_profile]
  region:
    description:
      - Region that requests are signed for. V(us-east-1) if no configuration names one.
      - If not set, taken from E(AWS_REGION), E(AWS_DEFAULT_REGION) on the managed host.
    type: str
    aliases: [aws_region]
  validate_certs:
    description:
      - Whether to verify the store's TLS certificate. With V(false), anybody on the network path can forge a leader.
    type: bool
    default: true
  aws_ca_bundle:
    description:
      - File with the CA certificates that may sign the store's certificate.
      - If not set, taken from E(AWS_CA_BUNDLE) on the managed host.
    type: path
  addressing_style:
    description:
      - Where the bucket's name goes. V(path) puts it into the URL's path, V(virtual) in front of the host name. V(auto)
        is V(virtual) for AWS and V(path) for all others.
    type: str
    choices: [auto, path, virtual]
    default: auto
  expected_bucket_owner:
    description:
      - ID of the AWS account that the bucket has to belong to. AWS refuses every request for a bucket that another
        account owns.
      - Set it on AWS unless the bucket's name is yours alone. Bucket names are global there, so a bucket that you
        have not created yet may be a stranger's. Other stores ignore it.
    type: str
  aws_config:
    description:
      - Arguments of C(botocore.config.Config). Accepted are C(s3), C(use_fips_endpoint),
        C(use_dualstack_endpoint), C(proxies), C(proxies_config) and C(client_cert).
      - Timeouts and retries follow from O(request_timeout) and the lease, and cannot be set here.
    type: dict
  request_timeout:
    description:
      - Seconds after which the outcome of one request counts as unknown and is looked up. From 1 to 60.
      - Errors are retried for three times this long plus 3 seconds, or until the operation's deadline if it has one.
    type: str
    default: 5s
notes:
  - Options that take seconds also take durations, such as V(90s), V(10m) and V(1h30m).
requirements:
  - botocore >= 1.20.0 on the host that runs the module, for a lookup on the controller. It comes with boto3.
"""

    # What only plugins have: Ansible reads these variables for them. Extend the fragment above, too.
    PLUGINS = r"""
options:
  endpoint_url:
    env:
      - name: AWS_URL
      - name: AWS_ENDPOINT_URL_S3
      - name: AWS_ENDPOINT_URL
    vars:
      - name: s3_leader_endpoint_url
  access_key:
    env:
      - name: AWS_ACCESS_KEY_ID
      - name: AWS_ACCESS_KEY
    vars:
      - name: s3_leader_access_key
  secret_key:
    env:
      - name: AWS_SECRET_ACCESS_KEY
      - name: AWS_SECRET_KEY
    vars:
      - name: s3_leader_secret_key
  session_token:
    env:
      - name: AWS_SESSION_TOKEN
    vars:
      - name: s3_leader_session_token
  profile:
    env:
      - name: AWS_PROFILE
      - name: AWS_DEFAULT_PROFILE
    vars:
      - name: s3_leader_profile
  region:
    env:
      - name: AWS_REGION
      - name: AWS_DEFAULT_REGION
    vars:
      - name: s3_leader_region
  aws_ca_bundle:
    env:
      - name: AWS_CA_BUNDLE
    vars:
      - name: s3_leader_aws_ca_bundle
  validate_certs:
    vars:
      - name: s3_leader_validate_certs
  addressing_style:
    vars:
      - name: s3_leader_addressing_style
  expected_bucket_owner:
    vars:
      - name: s3_leader_expected_bucket_owner
  aws_config:
    vars:
      - name: s3_leader_aws_config
  request_timeout:
    vars:
      - name: s3_leader_request_timeout
"""
