-- A chunk that requires itself for ever.
-- load: policy
return require "loop_require"
