// SPDX-License-Identifier: MIT
// @ts-check
import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['build/', 'node_modules/', 'src/abi/generated.ts'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      'no-console': 'error',
      eqeqeq: 'error',
      // An interface may be async where one implementation has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      'prefer-const': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowNullish: false },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    // Rooms keep their doors: see the table in docs/development.md.
    files: ['src/ipvs/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['node:*', '**/libbpf/**', '**/datapath/**'] }] },
  },
  {
    files: ['src/libbpf/**', 'src/btf/**'],
    rules: {
      'no-restricted-imports': ['error', { patterns: ['**/ipvs/**', '**/datapath/**', '**/abi/**'] }],
    },
  },
  {
    // The quick front end: neither of these may slow its start.
    files: ['src/cli/ipvsadm.ts', 'src/cli/ipvsadm/**'],
    rules: { 'no-restricted-imports': ['error', { paths: ['yargs', 'zod'] }] },
  },
  {
    // Programs and tools talk to people.
    files: ['src/cli/**', 'scripts/**', '*.config.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['test/**'],
    rules: {
      '@typescript-eslint/explicit-module-boundary-types': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
    },
  },
)
