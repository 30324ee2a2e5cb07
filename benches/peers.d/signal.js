// One SignalResource with the official Node SDK (npm @alicloud/ros20190910), as its samples do it.
//
// Arguments: URL STACK UNIQUE_ID. The access key comes from the environment, and so does what is trusted besides the usual (NODE_EXTRA_CA_CERTS).
'use strict';

const { default: Client, SignalResourceRequest } = require('@alicloud/ros20190910');
const { $OpenApiUtil } = require('@alicloud/openapi-core');

const [url, stackId, uniqueId] = process.argv.slice(2);
const { host, protocol } = new URL(url);
const client = new Client(
  new $OpenApiUtil.Config({
    accessKeyId: process.env.ALIBABA_CLOUD_ACCESS_KEY_ID,
    accessKeySecret: process.env.ALIBABA_CLOUD_ACCESS_KEY_SECRET,
    endpoint: host,
    protocol: protocol.replace(':', ''),
  }),
);
const request = new SignalResourceRequest({
  regionId: 'cn-hangzhou',
  stackId,
  logicalResourceId: 'WebReady',
  status: 'SUCCESS',
  uniqueId,
});
client.signalResource(request).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
