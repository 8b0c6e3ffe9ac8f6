// SPDX-License-Identifier: Apache-2.0
/* proto_descriptors.h: the encoded google.protobuf.FileDescriptorSet of proto/, with imports first; made by
 * the build (cmake/proto.cmake). Server reflection serves it. */
#ifndef SENTINEL_WIRE_PROTO_DESCRIPTORS_H
#define SENTINEL_WIRE_PROTO_DESCRIPTORS_H

#include <stddef.h>

extern const unsigned char proto_descriptors[];
extern const size_t proto_descriptors_size;

#endif
