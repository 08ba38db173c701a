# Writes OUT, a C++ file with the text of every file of FILES.
set(entries "")
list(SORT FILES)
foreach(file IN LISTS FILES)
  file(READ ${file} text)
  get_filename_component(name ${file} NAME)
  string(APPEND entries "    {\"${name}\", R\"txtpb(${text})txtpb\"},\n")
endforeach()
file(WRITE ${OUT} "#include <array>

#include \"scenarios/scenario.h\"

namespace verdict::scenarios {
namespace {

constexpr auto kCatalogue = std::to_array<CatalogueEntry>({
${entries}});

}  // namespace

std::span<const CatalogueEntry> catalogue() { return kCatalogue; }

}  // namespace verdict::scenarios
")
