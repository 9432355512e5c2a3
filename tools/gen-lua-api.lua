-- SPDX-License-Identifier: Apache-2.0
-- gen-lua-api.lua - writes docs/lua-api.md from the annotated stubs in lua/stdlib
--
--   lua5.4 tools/gen-lua-api.lua >docs/lua-api.md
--   lua5.4 tools/gen-lua-api.lua --names          the names that the stubs declare, for the test that compares them
--
-- Understands what the stubs use of LuaLS's annotations: ---@class, ---@field, ---@param, ---@return, text lines (---),
-- functions, and the first comment of a module. An annotation that it does not know is an error, so that nothing that
-- an author writes is lost silently.

local root = arg[0]:match "^(.*)/tools/[^/]*$" or "."

local meta = { "policy", "requests", "verdicts", "vocabulary", "test" }
-- What Lua itself offers, by library; the rest of Lua's names are not there.
local lua_names = {
  { "", "assert error getmetatable ipairs next pairs pcall print rawequal rawget rawlen rawset select setmetatable "
    .. "tonumber tostring type xpcall _VERSION" },
  { "coroutine", "close create isyieldable resume running status wrap yield" },
  { "math", "abs acos asin atan ceil cos deg exp floor fmod huge log max maxinteger min mininteger modf pi rad sin sqrt "
    .. "tan tointeger type ult" },
  { "string", "byte char find format gmatch gsub len lower match rep reverse sub upper" },
  { "table", "concat insert move pack remove sort unpack" },
  { "utf8", "char charpattern codepoint codes len offset" },
}
local modules = { "files", "hooks", "hosts", "labels", "nets" }

local function read_lines(path)
  local lines = {}
  for line in assert(io.open(root .. "/" .. path)):lines() do lines[#lines + 1] = line end
  return lines
end

-- "name type text" of a @field or @param: the type ends at the first space outside brackets that no "|" or "," joins.
local function split_type(text)
  local depth, i = 0, 1
  while i <= #text do
    local c = text:sub(i, i)
    if c:find "[%(<{%[]" then depth = depth + 1 end
    if c:find "[%)>}%]]" then depth = depth - 1 end
    if c == " " and depth == 0 and not text:sub(1, i - 1):find "[:|,]$" then break end
    i = i + 1
  end
  return text:sub(1, i - 1), text:sub(i + 1)
end

-- One stub file as a list of { title, text, fields, functions } in the order in which classes and functions stand.
local function parse(path)
  local lines = read_lines(path)
  local file = { title = "", items = {} }
  local text, params, returns, class = {}, {}, {}, nil
  local function flush() text, params, returns, class = {}, {}, {}, nil end
  for n, line in ipairs(lines) do
    local tag, rest = line:match "^%-%-%-@(%a+)%s*(.*)$"
    local fn, args = line:match "^function ([%w_.:]+)(%b())"
    if tag == "meta" then
      file.title = assert(lines[n + 1]:match "^%-%- (.+)$", path .. ": a title must follow ---@meta")
    elseif tag == "class" then
      local name, parent = rest:match "^([%w.]+):?%s*([%w.]*)"
      class = { kind = "class", name = name, parent = parent ~= "" and parent or nil, text = text, fields = {} }
      text = {}
      table.insert(file.items, class)
    elseif tag == "field" then
      local name, more = rest:match "^(%[?[%w_]+%]?)%s+(.*)$"
      local type_name, about = split_type(more)
      table.insert(class.fields, { name = name, type = type_name, text = about })
    elseif tag == "param" then
      local name, more = rest:match "^([%w_.?]+)%s+(.*)$"
      local type_name, about = split_type(more)
      table.insert(params, { name = name, type = type_name, text = about })
    elseif tag == "return" then
      table.insert(returns, (split_type(rest)))
    elseif tag then
      error(("%s:%d: annotation @%s is not known here"):format(path, n, tag))
    elseif line:find "^%-%-%-" then
      table.insert(text, line:sub(4))
    elseif fn then
      table.insert(file.items, { kind = "function", name = fn, args = args, text = text, params = params, returns = returns })
      flush()
    elseif line:find "^local [%a_]+ = {}$" or line == "" then
      flush()
    elseif line:find "^[%a_]+ = {}$" and class then -- a global object of the class above
      class.global = line:match "^[%a_]+"
      flush()
    end
  end
  return file
end

local function cell(text) return (text:gsub("|", "\\|")) end

local function print_class(item)
  local title = item.name:gsub("^moonfence%.", "")
  print(("\n### %s%s"):format(item.global and ("`" .. item.global .. "`") or title, #item.text > 0 and "\n" or ""))
  if #item.text > 0 then print(table.concat(item.text, "\n")) end
  if item.parent then
    local parent = item.parent:gsub("^moonfence%.", "")
    print(("\nHas all that [%s](#%s) has."):format(parent, parent:lower()))
  end
  if #item.fields == 0 then return end
  print "\n| field | type | |\n|---|---|---|"
  for _, field in ipairs(item.fields) do
    print(("| `%s` | `%s` | %s |"):format(field.name, cell(field.type:gsub("moonfence%.", "")), cell(field.text)))
  end
end

-- A method is shown the way it is called: x:under(what), c:to(what), s:matches_dns().
local receivers = {
  Request = "x", DnsRequest = "q", ConnectRequest = "c", SniRequest = "s", FileRequest = "f", Counter = "counter(…)",
  Domains = "set", Networks = "set", Ports = "set", Test = "t", Answer = "answer",
}

local function print_function(item, module)
  local name = item.name:gsub("^(%u%w*)([:.])", function(class, sep)
    if module then return module .. "." end
    return (receivers[class] or class) .. sep
  end)
  print(("\n#### `%s%s`\n"):format(name, item.args))
  print(table.concat(item.text, "\n"))
  local rows = {}
  for _, param in ipairs(item.params) do
    rows[#rows + 1] = ("- `%s`: `%s`%s"):format(param.name, param.type:gsub("moonfence%.", ""),
      param.text ~= "" and (" – " .. param.text) or "")
  end
  for _, type_name in ipairs(item.returns) do
    rows[#rows + 1] = ("- returns `%s`"):format(type_name:gsub("moonfence%.", ""))
  end
  if #rows > 0 then print("\n" .. table.concat(rows, "\n")) end
end

local function print_module(name)
  local path = "lua/stdlib/moonfence/" .. name .. ".lua"
  local lines = read_lines(path)
  local about = {}
  for i = 2, #lines do
    local text = lines[i]:match "^%-%- ?(.*)$"
    if not text then break end
    about[#about + 1] = text
  end
  local first = assert(about[1]:match "^moonfence%.%l+ %- (.+)$", path .. ": line 2 says what the module is")
  print(("\n### `moonfence.%s`: %s"):format(name, first))
  local code = false
  for i = 2, #about do
    local example = about[i]:match "^  (.*)$"
    if example and not code then print "```lua" end
    if not example and code then print "```" end
    code = example ~= nil
    print(example or about[i])
  end
  if code then print "```" end
  local entries = {}
  for i, line in ipairs(lines) do
    local entry = line:match "^M%.([%l_]+) ="
    if entry then
      local note = lines[i - 1]:match "^%-%- (.*)$" or line:match "%-%- (.*)$"
      entries[#entries + 1] = ("- `%s.%s`%s"):format(name, entry, note and (": " .. note:gsub("%.$", "")) or "")
    end
  end
  if #entries > 0 then print("\n" .. table.concat(entries, "\n")) end
  for _, item in ipairs(parse(path).items) do print_function(item, name) end
end

local function print_names()
  for _, library in ipairs(lua_names) do
    if library[1] ~= "" then print("global " .. library[1]) end
    for name in library[2]:gmatch "%S+" do
      print("global " .. (library[1] ~= "" and library[1] .. "." or "") .. name)
    end
  end
  for _, name in ipairs(meta) do
    for _, item in ipairs(parse("lua/stdlib/meta/" .. name .. ".lua").items) do
      if item.kind == "function" then
        print((item.name:find "[.:]" and "method " or "global ") .. item.name)
      else
        print("class " .. item.name .. (item.parent and (" " .. item.parent) or ""))
        if item.global then print("global " .. item.global) end
        for _, field in ipairs(item.fields) do print(("field %s %s"):format(item.name, field.name)) end
      end
    end
  end
end

if arg[1] == "--names" then
  print_names()
  os.exit(0)
end

print [[
<!-- Written by tools/gen-lua-api.lua from lua/stdlib: edit there. -->
# The Lua API of policies

What a policy sees, and nothing else. The same texts stand in the annotated stubs in `lua/stdlib/meta/`, so that an editor
with the Lua language server completes and checks policies: add that directory to its `workspace.library`, and set
`runtime.version` to `Lua 5.4`.

A policy has Lua 5.4 with `string`, `table`, `utf8` and `math`, each function bounded in time and memory. There is no `io`,
`os`, `debug`, `package`, `load`, `dofile` or `collectgarbage`; nothing that outlives a call can be written by a hook.]]
for _, name in ipairs(meta) do
  local file = parse("lua/stdlib/meta/" .. name .. ".lua")
  print(("\n## %s"):format(file.title))
  for _, item in ipairs(file.items) do
    if item.kind == "class" then print_class(item) else print_function(item) end
  end
end
print [[

## What Lua itself offers

Lua 5.4's own functions, each with a bound on time and memory: patterns have a step limit, `string.rep`, `table.move` and
the like a length limit, `pcall` cannot catch a limit, `pairs` goes in a defined order, `tostring` never shows an address,
`math.random` and the clock are not there. What is not named here does not exist.
]]
for _, library in ipairs(lua_names) do
  local names = {}
  for name in library[2]:gmatch "%S+" do names[#names + 1] = "`" .. name .. "`" end
  print(("- %s: %s"):format(library[1] ~= "" and "`" .. library[1] .. "`" or "functions", table.concat(names, ", ")))
end
print "\n## The standard library: modules for `require`"
for _, name in ipairs(modules) do print_module(name) end
