// SPDX-License-Identifier: Apache-2.0
/* grpc.reflection.v1 and v1alpha (the same messages under two names): what any gRPC tool asks before it can
 * call us without a .proto file.
 *
 * The answers are cut from the descriptor set that the build put into the binary. Its files are read again
 * for each question: they are few, and questions are rare. Field numbers are those of
 * google/protobuf/descriptor.proto. */
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "server/grpc_service.h"
#include "wire/proto_descriptors.h"

#define FILES_MAX          64
#define QUEUED_ANSWERS_MAX (512 * KIB) /* a client that asks and does not read is refused */

enum { SET_FILE = 1 };
enum {
    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_DEPENDENCY = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6
};
enum { ANY_NAME = 1 }; /* of messages, fields, enums, values, services and methods alike */
enum { MESSAGE_FIELD = 2, MESSAGE_NESTED = 3, MESSAGE_ENUM = 4, MESSAGE_ONEOF = 8 };
enum { ENUM_VALUE = 2 };
enum { SERVICE_METHOD = 2 };

/* The next field `number` of a message; `rest` begins as the message. */
static bool next_part(struct slice *rest, uint32_t number, struct slice *part) {
    struct reader reader = reader_make(*rest);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (!protobuf_is(&field, number, PROTOBUF_BYTES)) continue;
        *part = field.bytes;
        *rest = slice_make(reader.pos, reader_remaining(&reader));
        return true;
    }
    return false;
}

static struct slice part_of(struct slice message, uint32_t number) {
    struct slice part = SLICE_EMPTY;
    next_part(&message, number, &part);
    return part;
}

/* Takes "name" or "name." off the front of `symbol`; *all when nothing is left. */
static bool take_name(struct slice *symbol, struct slice name, bool *all) {
    if (symbol->size < name.size || memcmp(symbol->data, name.data, name.size) != 0) return false;
    *all = symbol->size == name.size;
    if (!*all && symbol->data[name.size] != '.') return false;
    size_t taken = name.size + !*all;
    *symbol = slice_make(symbol->data + taken, symbol->size - taken);
    return true;
}

/* Whether one of the parts `number` is called `symbol`, all of it. */
static bool has_named(struct slice message, uint32_t number, struct slice symbol) {
    struct slice part;
    while (next_part(&message, number, &part))
        if (slice_equal(part_of(part, ANY_NAME), symbol)) return true;
    return false;
}

/* Enums, and their values, which stand beside them. */
static bool has_enum(struct slice message, uint32_t number, struct slice symbol) {
    if (has_named(message, number, symbol)) return true;
    struct slice part;
    while (next_part(&message, number, &part))
        if (has_named(part, ENUM_VALUE, symbol)) return true;
    return false;
}

static bool has_message(struct slice scope, uint32_t number, struct slice symbol) {
    struct slice part;
    while (next_part(&scope, number, &part)) {
        struct slice rest = symbol;
        bool all;
        if (!take_name(&rest, part_of(part, ANY_NAME), &all)) continue;
        if (all || has_named(part, MESSAGE_FIELD, rest) || has_named(part, MESSAGE_ONEOF, rest) ||
            has_enum(part, MESSAGE_ENUM, rest) || has_message(part, MESSAGE_NESTED, rest))
            return true;
    }
    return false;
}

static bool has_service(struct slice file, struct slice symbol) {
    struct slice part;
    while (next_part(&file, FILE_SERVICE, &part)) {
        struct slice rest = symbol;
        bool all;
        if (take_name(&rest, part_of(part, ANY_NAME), &all) && (all || has_named(part, SERVICE_METHOD, rest)))
            return true;
    }
    return false;
}

static bool file_declares(struct slice file, struct slice symbol) {
    bool all;
    if (!take_name(&symbol, part_of(file, FILE_PACKAGE), &all) || all) return false;
    return has_message(file, FILE_MESSAGE, symbol) || has_enum(file, FILE_ENUM, symbol) ||
           has_service(file, symbol);
}

/* ---- files --------------------------------------------------------------------------------------------- */

struct files {
    struct slice list[FILES_MAX];
    size_t count;
};

static bool find_file(struct slice name, struct slice *file) {
    struct slice rest = slice_make(proto_descriptors, proto_descriptors_size);
    while (next_part(&rest, SET_FILE, file))
        if (slice_equal(part_of(*file, FILE_NAME), name)) return true;
    return false;
}

static bool find_symbol(struct slice symbol, struct slice *file) {
    struct slice rest = slice_make(proto_descriptors, proto_descriptors_size);
    while (next_part(&rest, SET_FILE, file))
        if (file_declares(*file, symbol)) return true;
    return false;
}

/* `file`, and then what it imports, each once. */
static void add_with_imports(struct files *files, struct slice file) {
    for (size_t i = 0; i < files->count; i++)
        if (files->list[i].data == file.data) return;
    if (files->count == FILES_MAX) return;
    files->list[files->count++] = file;
    struct slice name, import;
    while (next_part(&file, FILE_DEPENDENCY, &name))
        if (find_file(name, &import)) add_with_imports(files, import);
}

/* ---- answers ------------------------------------------------------------------------------------------- */

#define RESPONSE_CASE(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name
#define REQUEST_CASE(name)  GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name

static void answer_files(struct grpc_call *call, Grpc__Reflection__V1__ServerReflectionResponse *response,
                         struct slice file) {
    struct files files = {.count = 0};
    add_with_imports(&files, file);
    ProtobufCBinaryData list[FILES_MAX];
    for (size_t i = 0; i < files.count; i++)
        list[i] = (ProtobufCBinaryData){files.list[i].size, (uint8_t *)files.list[i].data};
    Grpc__Reflection__V1__FileDescriptorResponse found = GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    found.n_file_descriptor_proto = files.count;
    found.file_descriptor_proto = list;
    response->message_response_case = RESPONSE_CASE(FILE_DESCRIPTOR_RESPONSE);
    response->file_descriptor_response = &found;
    grpc_call_send_packed(call, &response->base);
}

static void answer_error(struct grpc_call *call, Grpc__Reflection__V1__ServerReflectionResponse *response,
                         int code, const char *text) {
    Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
    error.error_code = code;
    error.error_message = (char *)text;
    response->message_response_case = RESPONSE_CASE(ERROR_RESPONSE);
    response->error_response = &error;
    grpc_call_send_packed(call, &response->base);
}

static void answer_services(struct grpc_call *call,
                            Grpc__Reflection__V1__ServerReflectionResponse *response) {
    Grpc__Reflection__V1__ServiceResponse services[FILES_MAX], *pointers[FILES_MAX];
    size_t count = 0;
    for (; grpc_service_names[count] != NULL && count < FILES_MAX; count++) {
        grpc__reflection__v1__service_response__init(&services[count]);
        services[count].name = (char *)grpc_service_names[count];
        pointers[count] = &services[count];
    }
    Grpc__Reflection__V1__ListServiceResponse list = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    list.n_service = count;
    list.service = pointers;
    response->message_response_case = RESPONSE_CASE(LIST_SERVICES_RESPONSE);
    response->list_services_response = &list;
    grpc_call_send_packed(call, &response->base);
}

static void reflect_message(struct grpc_call *call, struct grpc_message *message) {
    Grpc__Reflection__V1__ServerReflectionRequest *request = grpc_call_unpack(
        call, &grpc__reflection__v1__server_reflection_request__descriptor, message->bytes);
    if (request == NULL) return;
    if (grpc_call_queued(call) > QUEUED_ANSWERS_MAX) {
        grpc_call_fail_status(call, STATUS_BUSY, "too many answers wait to be read");
        return;
    }
    Grpc__Reflection__V1__ServerReflectionResponse response =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    response.valid_host = request->host;
    response.original_request = request;
    struct slice file;
    switch (request->message_request_case) {
    case REQUEST_CASE(FILE_BY_FILENAME):
        if (find_file(slice_from_text(request->file_by_filename), &file))
            answer_files(call, &response, file);
        else
            answer_error(call, &response, GRPC_NOT_FOUND, "no such file");
        break;
    case REQUEST_CASE(FILE_CONTAINING_SYMBOL):
        if (find_symbol(slice_from_text(request->file_containing_symbol), &file))
            answer_files(call, &response, file);
        else
            answer_error(call, &response, GRPC_NOT_FOUND, "no such symbol");
        break;
    case REQUEST_CASE(LIST_SERVICES):
        answer_services(call, &response);
        break;
    case REQUEST_CASE(FILE_CONTAINING_EXTENSION):
    case REQUEST_CASE(ALL_EXTENSION_NUMBERS_OF_TYPE):
        answer_error(call, &response, GRPC_NOT_FOUND, "no message here has extensions");
        break;
    default:
        answer_error(call, &response, GRPC_INVALID_ARGUMENT, "nothing was asked");
    }
    arena_clear(&call->arena); /* the request; this stream keeps nothing between questions */
}

static void reflect_half_closed(struct grpc_call *call) {
    grpc_call_finish(call);
}

static void reflect_drain(struct grpc_call *call) {
    grpc_call_fail_status(call, STATUS_UNAVAILABLE, "the node shuts down");
}

#define REFLECTION_METHOD(version)                                                                           \
    {                                                                                                        \
        .path = "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo",                        \
        .message_size_max = GRPC_CONTROL_MESSAGE_MAX, .streams_requests = true, .message = reflect_message,  \
        .half_closed = reflect_half_closed, .drain = reflect_drain,                                          \
    }

const struct grpc_method grpc_reflection_methods[2] = {REFLECTION_METHOD("v1"), REFLECTION_METHOD("v1alpha")};
