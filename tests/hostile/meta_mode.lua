-- A weak table, whose contents depend on collection.
-- load: policy
return { cache = setmetatable({}, { __mode = "v" }), run = function() end }
