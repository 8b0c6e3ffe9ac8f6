# cmake -DINPUT=file -DOUTPUT=file.c -DSYMBOL=name -P embed.cmake: the bytes of a file as a constant array `name`
# and its size `name_size`.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," array "${bytes}")
string(REGEX REPLACE "(................................................................................)" "\\1\n"
       array "${array}")
file(WRITE ${OUTPUT} "#include <stddef.h>\nconst unsigned char ${SYMBOL}[] = {\n${array}\n};\n"
     "const size_t ${SYMBOL}_size = sizeof(${SYMBOL});\n")
